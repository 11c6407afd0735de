package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
)

// brinkLines counts the ends of connections that brink told of: each by itself,
// and those of a storm of failures together.
func brinkLines(output string, p *prepared) (told int, err error) {
	_, readErr := countLines(output, func(line []byte) bool {
		if !bytes.HasPrefix(line, []byte(`{"kind":"connection"`)) && !bytes.HasPrefix(line, []byte(`{"kind":"connect_failures"`)) {
			return false
		}
		fact := struct {
			Netns uint32 `json:"brink.netns"`
			Count int    `json:"brink.count"`
		}{Count: 1}
		err = errors.Join(err, json.Unmarshal(line, &fact))
		if slices.ContainsFunc(p.ready, func(w work) bool { return w.Netns == fact.Netns }) {
			told += fact.Count
		}
		return true
	})
	return told, errors.Join(readErr, err)
}

// lifeLines counts the lines of tcplife, one an end.
func lifeLines(output string, p *prepared) (int, error) {
	return countLines(output, p.names)
}

// endLines counts tcpstates' lines of an end's last change.
func endLines(output string, p *prepared) (int, error) {
	return countLines(output, func(line []byte) bool { return bytes.Contains(line, []byte("-> CLOSE ")) && p.names(line) })
}

// closeLines counts those of tcptracer's lines that tell of an end's end.
func closeLines(output string, p *prepared) (int, error) {
	return countLines(output, func(line []byte) bool { return bytes.HasPrefix(line, []byte("X ")) && p.names(line) })
}

// names reports whether a line of a peer's has the server's address of one of
// the load's connections and, in a column after it, the port.
func (p *prepared) names(line []byte) bool {
	fields := bytes.Fields(line)
	server := slices.IndexFunc(fields, func(f []byte) bool { return bytes.HasPrefix(f, []byte(serverPrefix)) })
	if server < 0 {
		return false
	}
	return slices.ContainsFunc(fields[server:], func(f []byte) bool {
		port, err := strconv.Atoi(string(f))
		return err == nil && slices.ContainsFunc(p.ready, func(w work) bool { return w.Port == port })
	})
}

// summaryLost reads brink's last line.
func summaryLost(r *running) (uint64, error) {
	text, err := tail(r.output, 64<<10)
	if err != nil {
		return 0, err
	}
	var s struct {
		Kind                                          string
		Lost, Untracked, Missed, Skipped, Undecodable uint64
	}
	text = bytes.TrimSpace(text)
	last := text[bytes.LastIndexByte(text, '\n')+1:]
	if err := json.Unmarshal(last, &s); err != nil || s.Kind != "summary" {
		return 0, fmt.Errorf("%s ended without a summary: %.80q: %w: %s", r.name, last, err, r.errors)
	}
	return s.Lost + s.Untracked + s.Missed + s.Skipped + s.Undecodable, nil
}

func tail(name string, n int64) ([]byte, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	n = min(n, info.Size())
	text := make([]byte, n)
	_, err = file.ReadAt(text, info.Size()-n)
	return text, err
}

// countLines counts the lines of a file that a function picks.
func countLines(name string, pick func(line []byte) bool) (n int, err error) {
	file, err := os.Open(name)
	if err != nil {
		return 0, err
	}
	defer file.Close()
	lines := bufio.NewReaderSize(file, 1<<20)
	for {
		line, err := lines.ReadSlice('\n')
		if err == io.EOF {
			return n, nil
		}
		if err != nil {
			return n, fmt.Errorf("read %s: %w", name, err)
		}
		if pick(line) {
			n++
		}
	}
}
