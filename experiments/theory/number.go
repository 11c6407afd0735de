package theory

import (
	"fmt"
	"math"
	"math/big"
	"strings"
)

// Grouped writes a number with commas between the thousands.
func Grouped(v *big.Int) string {
	digits := v.String()
	sign := ""
	if v.Sign() < 0 {
		sign, digits = "-", digits[1:]
	}
	var b strings.Builder
	for i, d := range digits {
		if i > 0 && (len(digits)-i)%3 == 0 {
			b.WriteByte(',')
		}
		b.WriteRune(d)
	}
	return sign + b.String()
}

// Log2 is the binary logarithm of a positive number; minus infinity for none.
func Log2(v *big.Int) float64 {
	if v.Sign() <= 0 {
		return math.Inf(-1)
	}
	// a float64 holds the leading 53 bits, and the exponent by itself any size
	bits := v.BitLen()
	leading, _ := new(big.Float).SetMantExp(new(big.Float).SetInt(v), -bits).Float64()
	return float64(bits) + math.Log2(leading)
}

// PowerOfTwo writes a number as 2^96 where it is one, as ≈ 2^34.5 where it is
// not, and as nothing where it is too small for that to say more.
func PowerOfTwo(v *big.Int) string {
	switch {
	case v.BitLen() < 20:
		return ""
	case v.TrailingZeroBits() == uint(v.BitLen()-1):
		return fmt.Sprintf("= 2^%d", v.BitLen()-1)
	}
	exponent := strings.TrimRight(fmt.Sprintf("%.2f", Log2(v)), "0")
	return "≈ 2^" + strings.TrimSuffix(exponent, ".")
}
