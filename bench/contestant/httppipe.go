package contestant

import "github.com/httppipe/httppipe"

func init() {
	// Its own defaults, and the same room for idle connections as net/http gets.
	register("httppipe", func(cfg Config) (Contestant, error) {
		return roundTripper(&httppipe.Transport{
			DialContext:         cfg.Dial,
			TLSClientConfig:     cfg.tlsConfig(),
			MaxConnsPerHost:     cfg.Conns,
			MaxIdleConnsPerHost: cfg.Concurrency,
			DisableCompression:  true,
		}, cfg), nil
	})
}
