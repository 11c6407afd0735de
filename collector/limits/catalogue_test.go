package limits

import (
	"strings"
	"testing"
)

// TestCatalogueIsComplete: a limit that event.h has and the catalogue lacks
// would be told without a name.
func TestCatalogueIsComplete(t *testing.T) {
	names := map[string]bool{}
	for l := range All() {
		e := l.Entry()
		if e.Name == "" || e.Unit == "" || e.Knob == "" || e.Source == "" || len(e.Hooks) == 0 {
			t.Errorf("limit %d is incomplete: %+v", l, e)
		}
		for _, sentence := range []string{e.Meaning, e.Advice} {
			if sentence == "" || strings.HasSuffix(sentence, ".") {
				t.Errorf("%s: %q is put into longer sentences", e.Name, sentence)
			}
		}
		if names[e.Name] {
			t.Errorf("two limits are named %s", e.Name)
		}
		names[e.Name] = true
	}
	if None.String() != "" || Limit(1<<20).Entry().Name != "" {
		t.Error("what is no limit has a name")
	}
}
