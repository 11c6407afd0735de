// Package lab gives an experiment a private network: a network namespace with
// its own addresses, sysctls and counters, and worker processes inside it that
// make one system call for each thing they are asked.
//
//	brink ─ locked thread ─ fork, CLONE_NEWNET ─→ holder ─ fork ─→ worker, worker …
//	  │                                             │                  │
//	  │   Lab.SetSysctl, AddAddress, Link, Counters │                  │
//	  ├───────────── socketpair, JSON ──────────────┘                  │
//	  │   Worker.Listen, Connect, Bind, Close …                        │
//	  └───────────── socketpair, JSON ─────────────────────────────────┘
//
// brink itself never enters a lab's namespace and a worker never touches the
// host's: every process begins by comparing the two and refuses to work when
// they are the same.
//
// Nothing stays behind, also after kill -9 of brink. The namespace has no name
// and no mount: it lives as long as the processes inside it. Each of them dies
// with the one that forked it (PR_SET_PDEATHSIG), and each ends by itself when
// the other end of its socketpair is gone. PDEATHSIG watches the *thread* that
// forked, not the process, hence the threads that are locked for life.
//
// The holder forks the workers because that works alike for root and for a
// plain user: without CAP_SYS_ADMIN the namespace belongs to a new user
// namespace, which a program with several threads can be born in but cannot
// join later (setns(2), CLONE_NEWUSER).
//
// The program that uses this package calls [Main] first thing in main, and in
// TestMain, because holder and workers are the same executable.
package lab
