package lab

import (
	"encoding/json"
	"errors"
	"os"
	"syscall"
)

// A request and its response cross the control connection as JSON, because
// JSON keeps what gob drops: a pointer to false.
type request struct {
	ID         uint64
	Operation  string
	Arguments  json.RawMessage
	Descriptor bool // one comes along, as SCM_RIGHTS on the request's first byte

	file *os.File // that descriptor, as received
}

type response struct {
	ID      uint64
	Value   json.RawMessage
	Failure *failure
}

// failure is an error on its way: errors are values of many types, and only
// the errno and the call that gave it matter at the other side.
type failure struct {
	Text    string
	Errno   syscall.Errno
	Refusal *Refusal
}

func newFailure(err error) *failure {
	f := &failure{Text: err.Error()}
	errors.As(err, &f.Errno)
	errors.As(err, &f.Refusal)
	return f
}

func (f *failure) error() error {
	if f.Refusal != nil {
		return f.Refusal
	}
	if f.Errno != 0 {
		return &remoteError{text: f.Text, errno: f.Errno}
	}
	return errors.New(f.Text)
}

// remoteError keeps the errno of an error that was turned into words.
type remoteError struct {
	text  string
	errno syscall.Errno
}

func (e *remoteError) Error() string { return e.text }
func (e *remoteError) Unwrap() error { return e.errno }
