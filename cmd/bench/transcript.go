package main

import (
	"strings"
	"sync"
)

// A transcript keeps a process's standard error and tells when a word came.
type transcript struct {
	mu    sync.Mutex
	text  strings.Builder
	word  string
	found chan struct{}
}

func newTranscript(word string) *transcript {
	return &transcript{word: word, found: make(chan struct{})}
}

// Write implements io.Writer.
func (t *transcript) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text.Write(b)
	if t.word != "" && strings.Contains(t.text.String(), t.word) {
		close(t.found)
		t.word = ""
	}
	return len(b), nil
}

// String is what was written.
func (t *transcript) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.TrimSpace(t.text.String())
}
