package lab

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// serve answers requests until the other end of the connection is gone. Every
// request has its own goroutine, so a long one does not hold up the others.
func (in *inside) serve(conn *net.UnixConn) {
	arriving := &descriptorReader{conn: conn}
	stream := json.NewDecoder(arriving)
	answers := &answerWriter{stream: json.NewEncoder(conn)}
	for {
		q := new(request)
		if stream.Decode(q) != nil {
			return
		}
		if q.Descriptor {
			q.file = arriving.next()
		}
		go func() { answers.write(in.answer(q)) }()
	}
}

func (in *inside) answer(q *request) *response {
	answer := &response{ID: q.ID}
	run := handlers[q.Operation]
	if run == nil {
		answer.Failure = newFailure(fmt.Errorf("unknown operation %q", q.Operation))
		return answer
	}
	value, err := run(in, q)
	if err == nil {
		answer.Value, err = json.Marshal(value)
	}
	if err != nil {
		answer.Failure = newFailure(err)
	}
	return answer
}

// answerWriter writes one answer after the other.
type answerWriter struct {
	mu     sync.Mutex
	stream *json.Encoder
}

func (w *answerWriter) write(answer *response) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stream.Encode(answer) // fails when brink is gone: serve sees that too
}

// descriptorReader reads a stream and keeps the descriptors that arrive with
// it, in order. recvmsg never merges bytes across two SCM_RIGHTS messages, and
// a descriptor comes with its request's first byte: so it is here before the
// request has been decoded, and the queue's order is the requests' order.
type descriptorReader struct {
	conn  *net.UnixConn
	queue []*os.File
}

func (r *descriptorReader) Read(p []byte) (int, error) {
	rights := make([]byte, unix.CmsgSpace(4))
	n, length, _, _, err := r.conn.ReadMsgUnix(p, rights)
	if err == nil && n == 0 {
		return 0, io.EOF
	}
	return n, errors.Join(err, r.keep(rights[:length]))
}

func (r *descriptorReader) keep(rights []byte) error {
	messages, err := unix.ParseSocketControlMessage(rights)
	if err != nil {
		return err
	}
	for _, message := range messages {
		fds, err := unix.ParseUnixRights(&message)
		if err != nil {
			return err
		}
		for _, fd := range fds {
			r.queue = append(r.queue, os.NewFile(uintptr(fd), "control"))
		}
	}
	return nil
}

// next is nil when the kernel had to drop the descriptor (no room in the table).
func (r *descriptorReader) next() *os.File {
	if len(r.queue) == 0 {
		return nil
	}
	file := r.queue[0]
	r.queue = r.queue[1:]
	return file
}
