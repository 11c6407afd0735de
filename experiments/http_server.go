package experiments

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"sync"
	"time"

	"brink/experiments/lab"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
	"golang.org/x/net/http2"
)

// What a worker does as a web server. It answers a request at once and holds the
// answer's end back until it is told to release all: so requests are under way
// at the same time whatever the machine's speed.
var (
	startHTTP   = lab.DefineProgram("start a web server", startHTTPInside)
	lookAtHTTP  = lab.DefineProgram("look at a web server", func(struct{}) (httpServed, error) { return httpInside.served(), nil })
	releaseHTTP = lab.DefineProgram("release a web server's requests", func(struct{}) (struct{}, error) {
		close(httpInside.release)
		return struct{}{}, nil
	})
	resetHTTP = lab.DefineProgram("reset a web server's connections", func(struct{}) (struct{}, error) {
		return struct{}{}, httpInside.reset()
	})
)

// httpOptions say which HTTP: 1 in the clear, 2 over TLS, 3 over QUIC.
type httpOptions struct {
	At      netip.AddrPort
	Version int
	// Streams of one connection at once, which versions 2 and 3 tell the client.
	Streams int
	// Page is what "/" brings, at once: a page for a browser.
	Page string
}

// httpServed is what a server has seen. For version 3 its connections are the
// remote addresses.
type httpServed struct {
	Holding, MostHeld                 int // requests
	Accepted, Open, MostOpen, Remotes int // connections
}

// heldHTTP is the worker's server.
type heldHTTP struct {
	page    string
	release chan struct{}
	stop    func() error

	mu      sync.Mutex
	seen    httpServed
	open    map[net.Conn]bool
	remotes map[string]bool
}

var httpInside *heldHTTP

// startHTTPInside brings the certificate, which was made for this one server.
func startHTTPInside(o httpOptions) (certificate []byte, err error) {
	keys, err := newTLSKeys(false)
	if err != nil {
		return nil, err
	}
	h := &heldHTTP{
		page: o.Page, release: make(chan struct{}), open: map[net.Conn]bool{}, remotes: map[string]bool{},
	}
	httpInside = h
	secure := &tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{keys.certificate()}}
	if o.Version == 3 {
		return keys.leaf.Raw, h.overQUIC(o, secure)
	}
	return keys.leaf.Raw, h.overTCP(o, secure)
}

func (h *heldHTTP) overTCP(o httpOptions, secure *tls.Config) error {
	server := &http.Server{
		Handler: h, ConnState: h.connState, TLSConfig: secure,
		ErrorLog: log.New(io.Discard, "", 0), // of resets, which are wanted
	}
	if o.Version == 2 {
		if err := http2.ConfigureServer(server, &http2.Server{MaxConcurrentStreams: uint32(o.Streams)}); err != nil {
			return fmt.Errorf("configure HTTP/2: %w", err)
		}
	}
	listener, err := net.ListenTCP("tcp", net.TCPAddrFromAddrPort(o.At))
	if err != nil {
		return err
	}
	h.stop = server.Close
	if o.Version == 2 {
		go server.ServeTLS(listener, "", "")
	} else {
		go server.Serve(listener)
	}
	return nil
}

func (h *heldHTTP) overQUIC(o httpOptions, secure *tls.Config) error {
	quietQUIC()
	socket, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(o.At))
	if err != nil {
		return err
	}
	server := &http3.Server{
		Handler: h, TLSConfig: http3.ConfigureTLSConfig(secure),
		QUICConfig: &quic.Config{MaxIncomingStreams: int64(o.Streams), HandshakeIdleTimeout: settling},
	}
	h.stop = func() error { return errors.Join(server.Close(), socket.Close()) }
	go server.Serve(socket)
	return nil
}

// quietQUIC: quic-go would complain on standard error that net.core.rmem_max,
// which is the host's, is small.
func quietQUIC() { os.Setenv("QUIC_GO_DISABLE_RECEIVE_BUFFER_WARNING", "true") }

func (h *heldHTTP) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if h.page != "" && !strings.HasPrefix(r.URL.Path, heldPath) {
		w.Header().Set("Content-Type", "text/html")
		w.Write([]byte(h.page))
		return
	}
	h.enter(r.RemoteAddr)
	defer h.leave() // before the client is told of the end, and can go on
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusOK)
	w.(http.Flusher).Flush()
	select {
	case <-h.release:
	case <-r.Context().Done():
	}
}

// heldPath is the beginning of the paths that are held.
const heldPath = "/held/"

func (h *heldHTTP) enter(remote string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.remotes[remote] = true
	h.seen.Holding++
	h.seen.MostHeld = max(h.seen.MostHeld, h.seen.Holding)
}

func (h *heldHTTP) leave() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.seen.Holding--
}

func (h *heldHTTP) connState(c net.Conn, s http.ConnState) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch s {
	case http.StateNew:
		h.open[c] = true
		h.seen.Accepted++
		h.seen.MostOpen = max(h.seen.MostOpen, len(h.open))
	case http.StateClosed, http.StateHijacked:
		delete(h.open, c)
	}
}

func (h *heldHTTP) served() httpServed {
	h.mu.Lock()
	defer h.mu.Unlock()
	seen := h.seen
	seen.Open, seen.Remotes = len(h.open), len(h.remotes)
	return seen
}

// reset ends what is still open without TIME_WAIT, and the server.
func (h *heldHTTP) reset() error {
	h.mu.Lock()
	for c := range h.open {
		lingerless(c)
		c.Close()
	}
	h.mu.Unlock()
	return h.stop()
}

// lingerless makes the close of a connection, TLS or not, a reset.
func lingerless(c net.Conn) {
	if t, ok := c.(*tls.Conn); ok {
		c = t.NetConn()
	}
	if t, ok := c.(*net.TCPConn); ok {
		t.SetLinger(0)
	}
}

// streamsAtOnce reads how many streams the server at that address allows: what
// SETTINGS, its first frame, says (RFC 9113, section 3.4). The connection is reset.
func streamsAtOnce(ctx context.Context, l httpLoad) (streams int, err error) {
	conn, err := l.dialTLS(ctx, []string{http2.NextProtoTLS}, nil)
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	lingerless(conn)
	if _, err := conn.Write([]byte(http2.ClientPreface)); err != nil {
		return 0, err
	}
	conn.SetReadDeadline(time.Now().Add(settling))
	frames := http2.NewFramer(conn, conn)
	if err := frames.WriteSettings(); err != nil {
		return 0, err
	}
	frame, err := frames.ReadFrame()
	if err != nil {
		return 0, fmt.Errorf("read the server's SETTINGS: %w", err)
	}
	settings, ok := frame.(*http2.SettingsFrame)
	if !ok {
		return 0, fmt.Errorf("the server's first frame is %s", frame.Header().Type)
	}
	value, ok := settings.Value(http2.SettingMaxConcurrentStreams)
	if !ok {
		return 0, errors.New("the server's SETTINGS are without MAX_CONCURRENT_STREAMS")
	}
	return int(value), nil
}
