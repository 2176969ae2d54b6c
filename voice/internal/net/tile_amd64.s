#include "textflag.h"

// One row of the tile: a times the eight weights in X8 and X9, added to LO and HI.
#define ROW(SRC, LO, HI) \
	MOVSS  SRC, X10      \
	SHUFPS $0, X10, X10  \
	MOVAPS X10, X11      \
	MULPS  X8, X10       \
	MULPS  X9, X11       \
	ADDPS  X10, LO       \
	ADDPS  X11, HI

// func tile(c *float32, ldc int, a *float32, ai, ap int, b *float32, ldb, k int)
TEXT ·tile(SB), NOSPLIT, $0-64
	MOVQ c+0(FP), DI
	MOVQ ldc+8(FP), R8
	MOVQ a+16(FP), SI
	MOVQ ai+24(FP), R9
	MOVQ ap+32(FP), R10
	MOVQ b+40(FP), BX
	MOVQ ldb+48(FP), R11
	MOVQ k+56(FP), CX
	SHLQ $2, R8
	SHLQ $2, R9
	SHLQ $2, R10
	SHLQ $2, R11
	LEAQ (R9)(R9*2), R12
	LEAQ (R8)(R8*2), R13
	MOVUPS (DI), X0
	MOVUPS 16(DI), X1
	MOVUPS (DI)(R8*1), X2
	MOVUPS 16(DI)(R8*1), X3
	MOVUPS (DI)(R8*2), X4
	MOVUPS 16(DI)(R8*2), X5
	MOVUPS (DI)(R13*1), X6
	MOVUPS 16(DI)(R13*1), X7

loop:
	MOVUPS (BX), X8
	MOVUPS 16(BX), X9
	ROW((SI), X0, X1)
	ROW((SI)(R9*1), X2, X3)
	ROW((SI)(R9*2), X4, X5)
	ROW((SI)(R12*1), X6, X7)
	ADDQ R10, SI
	ADDQ R11, BX
	DECQ CX
	JNZ  loop

	MOVUPS X0, (DI)
	MOVUPS X1, 16(DI)
	MOVUPS X2, (DI)(R8*1)
	MOVUPS X3, 16(DI)(R8*1)
	MOVUPS X4, (DI)(R8*2)
	MOVUPS X5, 16(DI)(R8*2)
	MOVUPS X6, (DI)(R13*1)
	MOVUPS X7, 16(DI)(R13*1)
	RET
