package contestant

import "github.com/httppipe/httppipe"

func init() {
	// Its own defaults, and the same room for idle connections as net/http gets.
	register("httppipe", func(cfg Config) (Contestant, error) {
		t := &httppipe.Transport{
			DialContext:         cfg.Dial,
			TLSClientConfig:     cfg.tlsConfig(),
			MaxConnsPerHost:     cfg.Conns,
			MaxIdleConnsPerHost: cfg.Concurrency,
			DisableCompression:  true,
		}
		return pipe{roundTripper(t, cfg), t}, nil
	})
}

// A pipe is a contestant whose repetitions are known.
type pipe struct {
	Contestant
	t *httppipe.Transport
}

func (p pipe) Repeated() int64 { return p.t.Stats().Replays }
