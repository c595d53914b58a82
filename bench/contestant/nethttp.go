package contestant

import "net/http"

func init() {
	// As most services run it: as many connections as there are callers, and
	// room to keep them. MaxIdleConnsPerHost left at 2 would make it dial for
	// nearly every request.
	register("nethttp", func(cfg Config) (Contestant, error) {
		t := netHTTP(cfg)
		t.MaxIdleConnsPerHost = cfg.Concurrency
		return roundTripper(t, cfg), nil
	})
	// Held to the number of connections that pipelining clients get.
	register("nethttp-N", func(cfg Config) (Contestant, error) {
		t := netHTTP(cfg)
		t.MaxIdleConnsPerHost, t.MaxConnsPerHost = cfg.Conns, cfg.Conns
		return roundTripper(t, cfg), nil
	})
	// HTTP/2 with prior knowledge: one connection, and those it dials before
	// it knows that one is enough.
	register("h2c", func(cfg Config) (Contestant, error) {
		t := netHTTP(cfg)
		t.Protocols = new(http.Protocols)
		t.Protocols.SetUnencryptedHTTP2(true)
		t.HTTP2 = &http.HTTP2Config{MaxReadFrameSize: 1 << 20}
		return roundTripper(t, cfg), nil
	})
}

func netHTTP(cfg Config) *http.Transport {
	return &http.Transport{
		DialContext:        cfg.Dial,
		TLSClientConfig:    cfg.tlsConfig(), // also keeps HTTP/2 off
		DisableCompression: true,
	}
}
