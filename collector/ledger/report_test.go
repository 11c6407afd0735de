package ledger

import (
	"encoding/json"
	"testing"
	"time"

	"brink/collector"
)

// keys notes what is told, as a JSON decoder would see it.
type keys map[string]any

func (k keys) String(key, v string)         { k[key] = v }
func (k keys) Int(key string, v int64)      { k[key] = v }
func (k keys) Uint(key string, v uint64)    { k[key] = v }
func (k keys) Float(key string, v float64)  { k[key] = v }
func (k keys) Bool(key string, v bool)      { k[key] = v }
func (k keys) Time(key string, v time.Time) { k[key] = v }
func (k keys) Object(key string, f func(collector.Visitor)) {
	o := keys{}
	f(o)
	k[key] = o
}
func (k keys) List(key string, n int, item func(int, collector.Visitor)) {
	list := make([]keys, n)
	for i := range list {
		list[i] = keys{}
		item(i, list[i])
	}
	k[key] = list
}

func TestVisit(t *testing.T) {
	l := New(Options{CountsEntries: true})
	l.open(netns, reading(0, Counters{}))
	l.Accept(begun(0, collector.RoleClient, 40000))
	l.Accept(enter(1, 40000))
	a := l.end(reading(2, Counters{Tw: 1, TW: 1}, 40000))
	told := keys{}
	a.Visit(told)
	got, err := json.Marshal(told)
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"before":0,"brink.netns":4026532000,"by":{"left_early":"inferred","left_timer":"inferred","reused_connect":"counter","reused_syn":"inferred","turned":"inferred"},` +
		`"destinations":[{"brink.role":"client","entered":1,"network.peer.address":"10.0.0.2","network.peer.port":443,"now":1}],` +
		`"difference":0,"differences":{"entered":0,"now":0,"overflowed":0},"entered":1,"entered_fin_wait_2":0,` +
		`"kernel":{"entered":1,"now":1,"overflowed":0,"reused_connect":0},"left_early":0,"left_timer":0,"now":1,"overflowed":0,"reused_connect":0,"reused_syn":0,"turned":0}`
	if string(got) != want {
		t.Errorf("told\n%s, not\n%s", got, want)
	}
}
