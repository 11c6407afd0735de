package lab

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// ErrEnded is returned when the worker asked has ended: it was closed, killed,
// or it crashed and left its trace on standard error.
var ErrEnded = errors.New("the worker process has ended")

// A control is brink's end of the connection to one worker. Requests may be
// under way at the same time; each waits for the response with its number.
type control struct {
	conn    *net.UnixConn
	writing sync.Mutex // a request goes out whole

	mu      sync.Mutex // guards what follows
	last    uint64
	waiting map[uint64]chan *response
	ended   bool
}

func newControl(conn *net.UnixConn) *control {
	c := &control{conn: conn, waiting: map[uint64]chan *response{}}
	go c.receive()
	return c
}

// receive ends with the connection, and every request still waiting with it.
func (c *control) receive() {
	stream := json.NewDecoder(c.conn)
	for {
		answer := new(response)
		if stream.Decode(answer) != nil {
			break
		}
		c.mu.Lock()
		if reply := c.waiting[answer.ID]; reply != nil {
			delete(c.waiting, answer.ID)
			reply <- answer
		}
		c.mu.Unlock()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ended = true
	for _, reply := range c.waiting {
		close(reply)
	}
}

func (c *control) ask(ctx context.Context, q *request) (*response, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	reply := c.expect(q)
	if reply == nil || c.send(q) != nil {
		return nil, ErrEnded
	}
	select {
	case answer := <-reply:
		if answer == nil {
			return nil, ErrEnded
		}
		return answer, nil
	case <-ctx.Done():
		c.mu.Lock()
		delete(c.waiting, q.ID)
		c.mu.Unlock()
		return nil, ctx.Err()
	}
}

// expect numbers the request. nil means that the worker has ended.
func (c *control) expect(q *request) chan *response {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended {
		return nil
	}
	c.last++
	q.ID = c.last
	reply := make(chan *response, 1) // so that receive never waits for a caller who left
	c.waiting[q.ID] = reply
	return reply
}

func (c *control) send(q *request) error {
	q.Descriptor = q.file != nil
	words, err := json.Marshal(q)
	if err != nil {
		return err
	}
	c.writing.Lock()
	defer c.writing.Unlock()
	if q.file != nil {
		sent, err := c.sendFile(words, q.file)
		if err != nil {
			return err
		}
		words = words[sent:]
	}
	_, err = c.conn.Write(words)
	return err
}

func (c *control) sendFile(words []byte, file *os.File) (int, error) {
	rights := unix.UnixRights(int(file.Fd()))
	sent, _, err := c.conn.WriteMsgUnix(words, rights, nil)
	return sent, err
}

func (c *control) close() { c.conn.Close() }
