package collector

import (
	"strings"

	"golang.org/x/sys/unix"
)

// errorTypes are the values of error.type: what an errno means to a
// connection, in words that stay the same on every system.
var errorTypes = map[unix.Errno]string{
	unix.EADDRINUSE:    "address_in_use",
	unix.EADDRNOTAVAIL: "address_not_available",
	unix.ECONNREFUSED:  "connection_refused",
	unix.ECONNRESET:    "connection_reset",
	unix.ECONNABORTED:  "connection_aborted",
	unix.EPIPE:         "broken_pipe",
	unix.ETIMEDOUT:     "timeout",
	unix.EHOSTUNREACH:  "host_unreachable",
	unix.ENETUNREACH:   "network_unreachable",
	unix.EMFILE:        "too_many_open_files",
	unix.ENFILE:        "file_table_full",
	unix.ENOBUFS:       "no_buffer_space",
	unix.ENOMEM:        "out_of_memory",
	unix.EACCES:        "permission_denied",
	unix.EPERM:         "operation_not_permitted",
	unix.EINVAL:        "invalid_argument",
	unix.EAGAIN:        "resource_unavailable",
}

// otherError is what OpenTelemetry's conventions want for an error without a
// name.
const otherError = "_OTHER"

// ErrorType is the value of error.type for an errno: a word where brink has
// one, else the errno's own name in lower case.
func ErrorType(errno unix.Errno) string {
	if t, ok := errorTypes[errno]; ok {
		return t
	}
	if name := unix.ErrnoName(errno); name != "" {
		return strings.ToLower(name)
	}
	return otherError
}
