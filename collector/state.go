package collector

// State is a TCP state with the kernel's number (include/net/tcp_states.h).
type State uint8

// The kernel's states. BoundInactive (6.8) marks, in sock_diag alone, a socket
// that holds a port and neither listens nor connects.
const (
	Established   State = 1
	SynSent       State = 2
	SynRecv       State = 3
	FinWait1      State = 4
	FinWait2      State = 5
	TimeWaitState State = 6
	Closed        State = 7
	CloseWait     State = 8
	LastAck       State = 9
	Listen        State = 10
	Closing       State = 11
	NewSynRecv    State = 12
	BoundInactive State = 13
)

// maxStates is how many states one life can have: each at most once.
const maxStates = 12

var stateNames = [...]string{
	"", "established", "syn_sent", "syn_received", "fin_wait_1", "fin_wait_2",
	"time_wait", "closed", "close_wait", "last_ack", "listen", "closing",
	"syn_received", "bound",
}

// String is the state in OpenTelemetry's spelling (network.connection.state).
func (s State) String() string {
	if int(s) < len(stateNames) {
		return stateNames[s]
	}
	return ""
}
