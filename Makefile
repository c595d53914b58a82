# What the targets do is in .ci/run, so that it is the same here and in CI.

.PHONY: test check fuzz ci

# The tests, as the README says.
test:
	go test ./...

# What should pass before a commit.
check:
	.ci/run gofmt vet staticcheck race fuzz

# Each fuzz target in turn, for FUZZ_TIME.
FUZZ_TIME ?= 1m
fuzz:
	FUZZ_TIME=$(FUZZ_TIME) .ci/run fuzz

# Everything, as CI does: needs Debian and root.
ci:
	.ci/run
