// Standalone dropout; the kernels of LayerNorm and attention contain their own.
#include "dropout.h"

#include "kernel.h"

// x of any shape, step [1], key [2], rate [1] -> x with elements dropped and the others scaled. The gradient
// is the same operator applied to the output gradient.
KERNEL(dropout) {
  const Arguments args{data, ranks, shapes};
  const float *x = args.floats(0);
  const Dropout drop(data[1], data[2], args.floats(3));
  float *out = args.floats(4);
  over_rows(args.count(0), 1, [=](int64_t first, int64_t last, int) {
    drop.apply(x + first, first, last - first, out + first);
  });
  return 0;
}
