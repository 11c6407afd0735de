package experiments

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"

	"brink/experiments/lab"

	"github.com/miekg/dns"
)

// A real name server in a lab's worker: one name, several addresses.
var startDNS = lab.DefineProgram("start a name server", startDNSInside)

// dnsZone is what the server knows.
type dnsZone struct {
	At        netip.AddrPort
	Name      string
	Addresses []netip.Addr
	// Rotate moves the first address of an answer to its end, for the next one: as
	// name servers do to spread load (RFC 1794).
	Rotate bool
}

// nameServer answers by one zone.
type nameServer struct {
	zone dnsZone

	mu      sync.Mutex
	answers map[uint16]int // by type
}

func startDNSInside(z dnsZone) (struct{}, error) {
	socket, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(z.At))
	if err != nil {
		return struct{}{}, fmt.Errorf("listen for DNS: %w", err)
	}
	server := &dns.Server{PacketConn: socket, Handler: &nameServer{zone: z, answers: map[uint16]int{}}}
	go server.ActivateAndServe()
	return struct{}{}, nil
}

// ServeDNS implements dns.Handler.
func (s *nameServer) ServeDNS(w dns.ResponseWriter, question *dns.Msg) {
	answer := new(dns.Msg)
	answer.SetReply(question)
	answer.Authoritative = true
	for _, q := range question.Question {
		if !dns.IsSubDomain(s.zone.Name, q.Name) {
			answer.Rcode = dns.RcodeNameError
			continue
		}
		answer.Answer = append(answer.Answer, s.records(q)...)
	}
	w.WriteMsg(answer)
}

func (s *nameServer) records(q dns.Question) (records []dns.RR) {
	header := dns.RR_Header{Name: q.Name, Rrtype: q.Qtype, Class: dns.ClassINET}
	for _, a := range s.zone.Addresses {
		switch {
		case q.Qtype == dns.TypeA && a.Is4():
			records = append(records, &dns.A{Hdr: header, A: a.AsSlice()})
		case q.Qtype == dns.TypeAAAA && a.Is6():
			records = append(records, &dns.AAAA{Hdr: header, AAAA: a.AsSlice()})
		}
	}
	return s.turn(records, q.Qtype)
}

func (s *nameServer) turn(records []dns.RR, kind uint16) []dns.RR {
	if !s.zone.Rotate || len(records) == 0 {
		return records
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	first := s.answers[kind] % len(records)
	s.answers[kind]++
	return slices.Concat(records[first:], records[:first])
}
