package rbac

// A sketch is a set of strings as a Bloom filter of 64 bits: it may say that it
// has a string that it doesn't have, never the other way round.
type sketch uint64

// everything is the sketch of a set with a wildcard.
const everything = ^sketch(0)

// sketchOf is the sketch of one string, given in parts.
func sketchOf(parts ...string) sketch {
	hash := uint64(14695981039346656037) // FNV-1a
	for _, part := range parts {
		for i := range len(part) {
			hash = (hash ^ uint64(part[i])) * 1099511628211
		}
	}
	// FNV's high bits are mixed better than the low ones.
	return 1 << (hash >> 58)
}

// sketchAll is the sketch of the set of the strings.
func sketchAll(set []string, wildcard string) sketch {
	var all sketch
	for _, s := range set {
		if s == wildcard {
			return everything
		}
		all |= sketchOf(s)
	}
	return all
}

// mayHave says whether one of the wanted strings may be in the set.
func (s sketch) mayHave(wanted sketch) bool { return s&wanted != 0 }
