// Package ledger keeps the books of TIME_WAIT, one account for each network
// namespace, and holds them against the kernel's own counters.
//
//	TimeWait, Connection ─→ Accept ─→ account ─┐
//	/proc/net/netstat, sockstat, sock_diag ─→ Reading ─→ balance ─→ Account
//
//	now = before + entered − left − reused        difference = now − the kernel's
//
// What the kernel's counters really count (read in the source of 6.18, where an
// experiment agrees, and of 5.10):
//
//	sockstat "tw"        timewait sockets, of both kinds and both families
//	                     (tcp_death_row.tw_refcount − 1)
//	TW, TWKilled         since 5.18: sockets that *entered*, counted as their timer
//	                     is first set (__inet_twsk_schedule): TWKilled those with
//	                     at most 4 s to live, which are orphans with a short
//	                     tcp_fin_timeout, TW all others. One that turns from
//	                     FIN_WAIT2 to TIME_WAIT is not counted again.
//	                     Before 5.18: those whose timer *ran out* (tw_timer_handler),
//	                     told apart by the same 4 s. In neither case does TWKilled
//	                     count what a RST killed: nothing counts that.
//	TWRecycled           taken over by a connect() (__inet_check_established)
//	TCPTimeWaitOverflow  not allocated, of both kinds: inet_twsk_alloc gave NULL
//
// Nothing in the kernel counts the sockets that a SYN took over.
//
// Where the ends of timewait sockets are hooked, every figure is told by a hook.
// Where they are not, the ledger keeps the tuples: those that the kernel no
// longer lists at a reading are gone, by their timer if it must have run out, to
// a new connection if one with their tuple was seen (of which TWRecycled says
// how many were connects), and else early.
package ledger
