package jsonl

import "time"

// A clock writes times, quoted, as RFC 3339 has them in UTC, with nanoseconds.
// Facts come in the order of their times, more or less, so that all up to the
// second is mostly what it was in the line before.
type clock struct {
	second int64
	prefix [len(upToSecond)]byte
	known  bool
}

const upToSecond = "2006-01-02T15:04:05"

func (c *clock) append(b []byte, t time.Time) []byte {
	if second := t.Unix(); !c.known || second != c.second {
		if y := t.UTC().Year(); y < 0 || y > 9999 {
			return t.UTC().AppendFormat(b, `"`+upToSecond+`.000000000Z"`)
		}
		t.UTC().AppendFormat(c.prefix[:0], upToSecond)
		c.second, c.known = second, true
	}
	b = append(append(b, '"'), c.prefix[:]...)
	var fraction [len(".000000000Z\"")]byte
	copy(fraction[:], ".000000000Z\"")
	for i, n := 9, t.Nanosecond(); n > 0; i, n = i-1, n/10 {
		fraction[i] = '0' + byte(n%10)
	}
	return append(b, fraction[:]...)
}
