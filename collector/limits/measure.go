package limits

// Measure reads how much of a limit is used now, and its maximum, where the
// kernel's refusal cannot say: the file table, orphans, tracked connections and
// tasks are counted per CPU or elsewhere. netnsPath is as for ReadSettings. Zeros
// where there is nothing to read.
func Measure(l Limit, netnsPath string) (used, most uint64) {
	switch l {
	case FileTable:
		return fullest(fileTable())
	case Orphans:
		return fullest(of(Orphans, hostReadings()))
	case Threads:
		return fullest(append(taskReadings(), cgroupReadings()...))
	case ConntrackTable:
		if s, err := ReadSettings(netnsPath); err == nil {
			return s.Conntrack, s.MaxConntrack
		}
	}
	return 0, 0
}

// Measurable reports whether Measure knows the limit.
func Measurable(l Limit) bool {
	return l == FileTable || l == Orphans || l == Threads || l == ConntrackTable
}

// Choosable is how many of the ports from low to high, both included, the kernel
// may choose in a namespace: net.ipv4.ip_local_reserved_ports are not among them.
func Choosable(netnsPath string, low, high uint16) (int, error) {
	s, err := ReadSettings(netnsPath)
	if err != nil {
		return 0, err
	}
	r := PortRange{Low: low, High: high, Reserved: s.Ports.Reserved}
	return r.Size(), nil
}

func of(l Limit, all []Reading) (some []Reading) {
	for _, r := range all {
		if r.Limit == l {
			some = append(some, r)
		}
	}
	return some
}

func fullest(readings []Reading) (used, most uint64) {
	if len(readings) == 0 {
		return 0, 0
	}
	worst := readings[0]
	for _, r := range readings[1:] {
		if r.Utilisation() > worst.Utilisation() {
			worst = r
		}
	}
	return worst.Used, worst.Max
}
