package lab

import "testing"

func TestParseMachineCPU(t *testing.T) {
	//                user nice sys idle iowait irq softirq steal guest guest_nice
	const stat = "cpu  100 20 30 99999 88888 4 5 6 77 66\ncpu0 1 2 3\n"
	if got := parseMachineCPU(stat); got != 1.65 {
		t.Errorf("%v s, want 1.65", got)
	}
	if got := parseMachineCPU(""); got != 0 {
		t.Errorf("nothing took %v s", got)
	}
}

func TestParseProcessCPU(t *testing.T) {
	const stat = "42 (a) b (c) S 7 1 1 0 -1 4194304 1 2 3 4 150 50 0 0 20"
	parent, cpu := parseProcessCPU(stat)
	if parent != 7 || cpu != 2 {
		t.Errorf("parent %d, %v s; want 7, 2", parent, cpu)
	}
	if parent, cpu := parseProcessCPU(""); parent != 0 || cpu != 0 {
		t.Error("a process that has gone took time")
	}
}
