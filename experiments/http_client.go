package experiments

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"sync"

	"brink/experiments/lab"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
	"golang.org/x/net/http2"
)

// What a worker does as a web client.
var (
	beginHTTP  = lab.DefineProgram("begin web requests", beginHTTPInside)
	lookAtWeb  = lab.DefineProgram("look at web requests", func(struct{}) (webAnswers, error) { return webInside.told(), nil })
	endHTTP    = lab.DefineProgram("end web requests", func(struct{}) (struct{}, error) { return struct{}{}, webInside.end() })
	askStreams = lab.DefineProgram("ask for a web server's limit of streams", func(l httpLoad) (int, error) {
		ctx, cancel := context.WithTimeout(context.Background(), settling)
		defer cancel()
		return streamsAtOnce(ctx, l)
	})
)

// httpLoad is so many requests, which the client begins at once, after the first
// has been answered: by then it knows what the server allows.
type httpLoad struct {
	At          netip.AddrPort
	Version     int
	Certificate []byte
	Requests    int
	// OneByOne begins each once the one before has been answered, though not to
	// its end: a connection that is new has told its limits by then.
	OneByOne bool
	PerHost  int  // http.Transport.MaxConnsPerHost
	Strict   bool // one connection, and http2.Transport.StrictMaxConcurrentStreams
}

// webAnswers is how far the requests are. A request that waits for a stream or a
// connection has no answer.
type webAnswers struct {
	Answered, Finished int
	Failed             []string
}

// webClient is the worker's client.
type webClient struct {
	load      httpLoad
	transport http.RoundTripper
	close     func() error // what is not TCP

	mu      sync.Mutex
	answers webAnswers
	conns   []net.Conn
}

var webInside *webClient

func beginHTTPInside(l httpLoad) (struct{}, error) {
	w := &webClient{load: l, close: func() error { return nil }}
	if err := w.makeTransport(); err != nil {
		return struct{}{}, err
	}
	webInside = w
	go w.run()
	return struct{}{}, nil
}

func (w *webClient) makeTransport() error {
	switch w.load.Version {
	case 2:
		if w.load.Strict {
			return w.overOne()
		}
		w.transport = &http2.Transport{
			DialTLSContext: func(ctx context.Context, _, _ string, c *tls.Config) (net.Conn, error) {
				return w.load.dialTLS(ctx, c.NextProtos, w.keep)
			},
		}
	case 3:
		return w.overQUIC()
	default: // connections that have become idle are kept, so that the client closes none before its end
		w.transport = &http.Transport{
			MaxConnsPerHost: w.load.PerHost, MaxIdleConnsPerHost: w.load.Requests,
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return w.load.dial(ctx, w.keep) },
		}
	}
	return nil
}

// overOne has one connection and no pool. The pool's own way to wait comes to a
// stop for good once as many requests wait as there are streams, since it counts
// a place for each of them (golang/go#70809, open in x/net 0.62).
func (w *webClient) overOne() error {
	ctx, cancel := context.WithTimeout(context.Background(), settling)
	defer cancel()
	conn, err := w.load.dialTLS(ctx, []string{http2.NextProtoTLS}, w.keep)
	if err != nil {
		return err
	}
	w.transport, err = (&http2.Transport{StrictMaxConcurrentStreams: true}).NewClientConn(conn)
	return err
}

// overQUIC has one UDP socket for all of the client's connections, as browsers
// may and quic-go does.
func (w *webClient) overQUIC() error {
	quietQUIC()
	socket, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(w.load.At.Addr(), 0)))
	if err != nil {
		return err
	}
	over := &quic.Transport{Conn: socket}
	requests := &http3.Transport{
		TLSClientConfig: w.load.trust(), QUICConfig: &quic.Config{HandshakeIdleTimeout: settling},
		Dial: func(ctx context.Context, _ string, t *tls.Config, q *quic.Config) (*quic.Conn, error) {
			return over.DialEarly(ctx, net.UDPAddrFromAddrPort(w.load.At), t, q)
		},
	}
	w.transport = requests
	w.close = func() error { return errors.Join(requests.Close(), over.Close(), socket.Close()) }
	return nil
}

func (w *webClient) run() {
	for i := range w.load.Requests {
		if i == 0 || w.load.OneByOne {
			if body := w.ask(i); body != nil {
				go w.readOut(body)
			}
			continue
		}
		go func() {
			if body := w.ask(i); body != nil {
				w.readOut(body)
			}
		}()
	}
}

// ask returns when the request has its answer, but for the end.
func (w *webClient) ask(i int) io.ReadCloser {
	scheme := "https"
	if w.load.Version == 1 {
		scheme = "http"
	}
	request, err := http.NewRequest(http.MethodGet, fmt.Sprintf("%s://%s%s%d", scheme, tlsName, heldPath, i), nil)
	if err != nil {
		w.count(func(a *webAnswers) { a.Failed = append(a.Failed, err.Error()) })
		return nil
	}
	response, err := w.transport.RoundTrip(request)
	if err != nil {
		w.count(func(a *webAnswers) { a.Failed = append(a.Failed, err.Error()) })
		return nil
	}
	w.count(func(a *webAnswers) { a.Answered++ })
	return response.Body
}

func (w *webClient) readOut(body io.ReadCloser) {
	_, err := io.Copy(io.Discard, body)
	err = errors.Join(err, body.Close())
	w.count(func(a *webAnswers) {
		if err != nil {
			a.Failed = append(a.Failed, err.Error())
			return
		}
		a.Finished++
	})
}

func (w *webClient) count(do func(*webAnswers)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	do(&w.answers)
}

func (w *webClient) told() webAnswers {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.answers
}

func (w *webClient) keep(c net.Conn) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.conns = append(w.conns, c)
}

// end resets the connections: nothing of them stays in TIME_WAIT.
func (w *webClient) end() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range w.conns {
		lingerless(c)
		c.Close()
	}
	return w.close()
}

// dial connects to the load's address, whatever name the URL has.
func (l httpLoad) dial(ctx context.Context, keep func(net.Conn)) (net.Conn, error) {
	c, err := (&net.Dialer{}).DialContext(ctx, "tcp", l.At.String())
	if err == nil && keep != nil {
		keep(c)
	}
	return c, err
}

func (l httpLoad) dialTLS(ctx context.Context, protocols []string, keep func(net.Conn)) (net.Conn, error) {
	plain, err := l.dial(ctx, keep)
	if err != nil {
		return nil, err
	}
	config := l.trust()
	config.NextProtos = protocols
	secure := tls.Client(plain, config)
	if err := secure.HandshakeContext(ctx); err != nil {
		lingerless(plain)
		plain.Close()
		return nil, fmt.Errorf("TLS handshake: %w", err)
	}
	return secure, nil
}

// trust is the one certificate, and the name in it.
func (l httpLoad) trust() *tls.Config {
	roots := x509.NewCertPool()
	if leaf, err := x509.ParseCertificate(l.Certificate); err == nil {
		roots.AddCert(leaf)
	}
	return &tls.Config{MinVersion: tls.VersionTLS13, RootCAs: roots, ServerName: tlsName}
}
