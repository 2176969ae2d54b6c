// Package bits reads and writes bit fields, most significant bit first. Editors and proofs share
// it, and nothing above it.
package bits

// Get reads n bits (at most 57) of b at bit offset at. Bits beyond the end read as zero.
func Get(b []byte, at, n int) uint64 {
	var v uint64
	for i := at >> 3; i <= (at+n-1)>>3; i++ {
		v <<= 8
		if i < len(b) {
			v |= uint64(b[i])
		}
	}
	spare := uint(((at+n-1)>>3+1)*8 - at - n)
	return v >> spare & (1<<uint(n) - 1)
}

// Put writes the low n bits (at most 57) of v to b at bit offset at.
func Put(b []byte, at, n int, v uint64) {
	for i := range n {
		bit := byte(v >> uint(n-1-i) & 1)
		p := at + i
		b[p>>3] = b[p>>3]&^(0x80>>uint(p&7)) | bit<<uint(7-p&7)
	}
}

// Clear zeroes the bits [from, to) of b.
func Clear(b []byte, from, to int) {
	if from >= to {
		return
	}
	first, last := from>>3, to>>3
	head, tail := byte(0xFF)>>uint(from&7), byte(0xFF)<<uint(8-to&7)
	if to&7 == 0 {
		tail = 0
	}
	if first == last {
		b[first] &^= head & tail
		return
	}
	b[first] &^= head
	clear(b[first+1 : last])
	if tail != 0 {
		b[last] &^= tail
	}
}

// Zero reports whether the bits [from, to) of b are all zero.
func Zero(b []byte, from, to int) bool {
	for ; from < to && from&7 != 0; from++ {
		if b[from>>3]&(0x80>>uint(from&7)) != 0 {
			return false
		}
	}
	for ; from+8 <= to; from += 8 {
		if b[from>>3] != 0 {
			return false
		}
	}
	for ; from < to; from++ {
		if b[from>>3]&(0x80>>uint(from&7)) != 0 {
			return false
		}
	}
	return true
}
