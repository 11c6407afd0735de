package lab

import "errors"

// AtEnd has f run once, when the lab's processes are gone: for what an
// experiment must put back no sooner than that.
func (l *Lab) AtEnd(f func() error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.atEnd = append(l.atEnd, f)
}

// putBack runs them, the last one first.
func (l *Lab) putBack() (err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := len(l.atEnd) - 1; i >= 0; i-- {
		err = errors.Join(err, l.atEnd[i]())
	}
	return err
}
