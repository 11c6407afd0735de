// Package diagnosis says, for a port, a process or a destination, what is in
// the way: in sentences, each with the place where it was read.
//
//	sock_diag, /proc, sysctls ─→ ReadPort · ReadProcess · ReadDestination
//	                                   │ facts: plain structs
//	facts of a short trace ─→ Refusals ┤
//	                                   └─→ Diagnose (pure) ─→ Diagnosis
//	                                        verdict · findings, fixes and what they cost
//
// What is not known is a finding too, of kind Unknown; nothing is guessed. It
// opens no connection and sends nothing to anybody.
package diagnosis
