package workload

import (
	"flag"
	"slices"
	"testing"

	"github.com/httppipe/httppipe/bench/contestant"
	"github.com/httppipe/httppipe/bench/internal/load"
)

func TestRows(t *testing.T) {
	for _, ws := range [][]Workload{All(), Quick()} {
		seen := map[string]bool{}
		for _, w := range ws {
			if seen[w.ID] {
				t.Errorf("%s is there twice", w.ID)
			}
			seen[w.ID] = true
			if !slices.Contains(w.Contestants, w.Base) || !slices.Contains(w.Contestants, "httppipe") {
				t.Errorf("%s: base or httppipe is missing among %q", w.ID, w.Contestants)
			}
			for _, name := range w.Contestants {
				if !slices.Contains(contestant.Names(), name) {
					t.Errorf("%s: no contestant %q", w.ID, name)
				}
			}
		}
	}
}

// TestArgs: what the comparison asks for is what the load generator does.
func TestArgs(t *testing.T) {
	for _, w := range All() {
		want := w.OptionsFor("httppipe", 3)
		want.Addr, want.File, want.CPUProfile = "127.0.0.1:1", "/file", "profile"
		var got load.Options
		fs := flag.NewFlagSet("", flag.ContinueOnError)
		got.Bind(fs)
		if err := fs.Parse(want.Args()); err != nil {
			t.Fatal(err)
		}
		if got != want {
			t.Errorf("%s: got %+v, want %+v", w.ID, got, want)
		}
	}
}

func TestConns(t *testing.T) {
	rows := map[string]Workload{}
	for _, w := range All() {
		rows[w.ID] = w
	}
	for _, test := range []struct {
		row, name string
		own, want int
	}{
		{"get/c64", "nethttp", 0, 0},
		{"get/c64", "nethttp-N", 0, 8},
		{"get/c1", "nethttp-N", 0, 1},
		{"get/c64", "httppipe", 0, 0},
		{"get/c64", "httppipe", 2, 2},
		{"get/c64", "fasthttp-pipe", 2, 1},
		{"rtt/50ms/n2", "httppipe", 5, 2},
		{"rtt/50ms/n2", "nethttp-N", 0, 2},
		{"rtt/50ms/n2", "nethttp", 0, 0},
		{"slow/paced", "fasthttp", 0, 8},
	} {
		if got := rows[test.row].OptionsFor(test.name, test.own).Conns; got != test.want {
			t.Errorf("%s %s: %d connections, want %d", test.row, test.name, got, test.want)
		}
	}
	if !rows["get/c64/tls"].OptionsFor("nethttp", 0).TLS || rows["get/c64"].OptionsFor("nethttp", 0).TLS {
		t.Error("TLS where there is none, or the other way round")
	}
}

func TestServerFor(t *testing.T) {
	for _, test := range []struct{ server, name, want string }{
		{Origin, "nethttp", Origin},
		{Origin, "h2c", HTTP2},
		{Nginx, "h2c", NginxH2},
		{Nginx, "fasthttp", Nginx},
	} {
		if got := (Workload{Server: test.server}).ServerFor(test.name); got != test.want {
			t.Errorf("%s, %s: %s", test.server, test.name, got)
		}
	}
}

func TestSelect(t *testing.T) {
	ws, err := Select(All(), `^rtt/.*/n1$`, []string{"httppipe"})
	if err != nil || len(ws) != 2 {
		t.Fatalf("%d workloads, %v", len(ws), err)
	}
	if want := []string{"nethttp-N", "httppipe"}; !slices.Equal(ws[0].Contestants, want) {
		t.Errorf("contestants %q, want %q", ws[0].Contestants, want)
	}
	if len(All()[0].Contestants) != len(everybody) {
		t.Error("Select changed the list it was given")
	}
	if _, err := Select(All(), "nothing", nil); err == nil {
		t.Error("no error for no workload")
	}
	if _, err := Select(All(), "(", nil); err == nil {
		t.Error("no error for a malformed expression")
	}
	if !Uses(ws, Origin) || Uses(ws, Nginx) {
		t.Error("Uses")
	}
}
