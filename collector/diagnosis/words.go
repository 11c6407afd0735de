package diagnosis

import (
	"fmt"
	"strings"
)

// plural is "1 socket", "2 sockets", "3 processes".
func plural(n int, noun string) string {
	switch {
	case n == 1:
		return "1 " + noun
	case strings.HasSuffix(noun, "s"):
		noun += "e"
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// enumerate is "a", "a and b", "a, b and c".
func enumerate(words []string) string { return joinLast(words, " and ") }

func either(words []string) string { return joinLast(words, " or ") }

func joinLast(words []string, last string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	n := len(words) - 1
	return strings.Join(words[:n], ", ") + last + words[n]
}

// atMost names the first n, and counts the others.
func atMost(n int, words []string) string {
	if len(words) > n+1 {
		words = append(words[:n:n], fmt.Sprintf("%d more", len(words)-n))
	}
	return enumerate(words)
}

// sentence gives a capital and a full stop.
func sentence(s string) string {
	if s == "" {
		return ""
	}
	s = strings.ToUpper(s[:1]) + s[1:]
	if !strings.HasSuffix(s, ".") {
		s += "."
	}
	return s
}

// who is a process in a sentence.
func who(pid uint32, name string) string {
	if name == "" {
		return fmt.Sprintf("process %d", pid)
	}
	return fmt.Sprintf("%d %s", pid, name)
}
