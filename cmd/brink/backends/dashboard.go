package backends

import (
	"errors"
	"strings"

	"sigs.k8s.io/json"
)

// A Dashboard is what Grafana's JSON model says, as far as brink's uses it: in it a
// field of another name, or of another type, is an error.
type Dashboard struct {
	UID           string   `json:"uid"`
	Title         string   `json:"title"`
	Description   string   `json:"description"`
	Tags          []string `json:"tags"`
	Refresh       string   `json:"refresh"`
	Timezone      string   `json:"timezone"`
	Editable      bool     `json:"editable"`
	GraphTooltip  int      `json:"graphTooltip"`
	SchemaVersion int      `json:"schemaVersion"`
	Version       int      `json:"version"`
	Time          struct {
		From string `json:"from"`
		To   string `json:"to"`
	} `json:"time"`
	Templating struct {
		List []Variable `json:"list"`
	} `json:"templating"`
	Annotations struct {
		List []any `json:"list"`
	} `json:"annotations"`
	Links  []any   `json:"links"`
	Panels []Panel `json:"panels"`
}

// A Variable is chosen above the panels.
type Variable struct {
	Name       string      `json:"name"`
	Type       string      `json:"type"`
	Label      string      `json:"label"`
	Query      string      `json:"query"`
	AllValue   string      `json:"allValue"`
	Datasource *Datasource `json:"datasource"`
	Hide       int         `json:"hide"`
	Refresh    int         `json:"refresh"`
	Multi      bool        `json:"multi"`
	IncludeAll bool        `json:"includeAll"`
}

// A Datasource is by type and identifier, which may be a variable's.
type Datasource struct {
	Type string `json:"type"`
	UID  string `json:"uid"`
}

// A Panel is a picture, or a row's title.
type Panel struct {
	ID          int         `json:"id"`
	Type        string      `json:"type"`
	Title       string      `json:"title"`
	Description string      `json:"description"`
	Datasource  *Datasource `json:"datasource"`
	Collapsed   bool        `json:"collapsed"`
	GridPos     struct {
		H int `json:"h"`
		W int `json:"w"`
		X int `json:"x"`
		Y int `json:"y"`
	} `json:"gridPos"`
	FieldConfig struct {
		Defaults struct {
			Unit       string   `json:"unit"`
			Min        *float64 `json:"min"`
			Max        *float64 `json:"max"`
			Thresholds *struct {
				Mode  string `json:"mode"`
				Steps []struct {
					Color string   `json:"color"`
					Value *float64 `json:"value"`
				} `json:"steps"`
			} `json:"thresholds"`
		} `json:"defaults"`
		Overrides []any `json:"overrides"`
	} `json:"fieldConfig"`
	Options map[string]any `json:"options"` // each type of panel has its own
	Targets []Target       `json:"targets"`
	Panels  []Panel        `json:"panels"`
}

// A Target is one query of a panel.
type Target struct {
	RefID        string      `json:"refId"`
	Expr         string      `json:"expr"`
	LegendFormat string      `json:"legendFormat"`
	Datasource   *Datasource `json:"datasource"`
	Instant      bool        `json:"instant"`
	Range        bool        `json:"range"`
}

// ParseDashboard reads it strictly, names' case included.
func ParseDashboard(text []byte) (d Dashboard, err error) {
	strict, err := json.UnmarshalStrict(text, &d)
	return d, errors.Join(append(strict, err)...)
}

// Expressions are all queries, as Prometheus gets them: every host and limit, and
// a rate over five minutes.
func (d Dashboard) Expressions() (list []string) {
	variables := strings.NewReplacer("$__rate_interval", "5m", "$instance", ".*", "$limit", ".*")
	for _, p := range d.Panels {
		for _, target := range p.Targets {
			list = append(list, variables.Replace(target.Expr))
		}
	}
	return list
}
