//go:build !race

package httppipe_test

const underRace = false
