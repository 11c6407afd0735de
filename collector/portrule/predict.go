package portrule

import "slices"

// Prediction is what becomes of a bind() or a listen().
type Prediction struct {
	Refused bool
	// By are the holders that refuse, as indexes; of UDP the one that decides.
	By []int
	// Bucket: the holders in By would refuse, but the kernel did not ask them,
	// for what it remembers of the port says that all share it (TCP).
	Bucket bool
}

// Predict tells whether the kernel refuses a socket, given all that hold its
// port in the order in which they came to it, and that none has left it. The
// holders' options are to be known, and to be what they were when they came; a
// listener came with its listen(). What asks to listen has got its bind() through.
func Predict(ask Socket, holders ...Socket) Prediction {
	if ask.Transport == UDP {
		return predictUDP(ask, holders)
	}
	var p Prediction
	for i, held := range holders {
		if Judge(ask, held).Refuses {
			p.By = append(p.By, i)
		}
	}
	p.Bucket = len(p.By) > 0 && remembered(ask, holders).admits(ask)
	p.Refused = len(p.By) > 0 && !p.Bucket
	return p
}

// predictUDP: of the sockets that overlap the first in the kernel's list decides
// alone, unless SO_REUSEADDR on both lets it be passed over. Others behind it
// are not asked once SO_REUSEPORT has joined the two (udp_lib_lport_inuse
// returns 0).
func predictUDP(ask Socket, holders []Socket) Prediction {
	for _, i := range listUDP(holders) {
		held := holders[i]
		if !meet(ask, held) || ask.ReuseAddr && held.ReuseAddr {
			continue
		}
		if shares(ask, held) {
			return Prediction{}
		}
		return Prediction{Refused: true, By: []int{i}}
	}
	return Prediction{}
}

// listUDP is the order in which the kernel finds them: the youngest first, but
// those of AF_INET6 with SO_REUSEPORT last (sk_add_node_rcu).
func listUDP(holders []Socket) (order []int) {
	for i, held := range holders {
		if held.ReusePort && !held.Local.Addr().Is4() {
			order = append(order, i)
		} else {
			order = slices.Insert(order, 0, i)
		}
	}
	return order
}
