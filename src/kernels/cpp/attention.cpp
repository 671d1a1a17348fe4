// Multi-head attention without its dense layers (Vaswani et al. 2017): bias, head split, scores, mask,
// softmax, context and merge in one pass, and its gradient. It also outputs the scores, for TinyBERT.
//
// Letters: B batch, S length, Q queries (S, or 1 where only the first token's context is needed), H hidden,
// N heads, D head width. A task is one head of one sample; its matrices fit in the cache. The gradient
// recomputes the probabilities from the scores.
#include "dropout.h"
#include "functions.h"
#include "kernel.h"
#include "product.h"

namespace {

struct Shape {
  int64_t batch, heads, queries, length, hidden, width;
  int64_t wide, longer;  // width and length, padded

  Shape(int64_t batch, int64_t heads, int64_t queries, int64_t length, int64_t hidden)
      : batch(batch), heads(heads), queries(queries), length(length), hidden(hidden), width(hidden / heads),
        wide(padded(hidden / heads)), longer(padded(length)) {}

  // Offset of a task's first element in a tensor of `rows` rows a sample: [B*Q, H] or [B*S, H].
  int64_t start(int64_t task, int64_t rows) const {
    return task / heads * rows * hidden + task % heads * width;
  }
};

// A dense layer's product, and the bias to add to it.
struct Dense {
  const float *product, *bias;
};

// [rows, wide]: (product + bias) * scale of one task, zeros in the padding
void pack(const Dense &dense, const Shape &s, int64_t task, int64_t rows, float scale, float *out) {
  const float *bias = dense.bias + task % s.heads * s.width, *from = dense.product + s.start(task, rows);
  for (int64_t i = 0; i < rows; ++i, from += s.hidden, out += s.wide) {
    for (int64_t d = 0; d < s.width; ++d) out[d] = (from[d] + bias[d]) * scale;
    for (int64_t d = s.width; d < s.wide; ++d) out[d] = 0.0f;
  }
}

// [D, longer] = the transpose of a packed [S, wide]
void transpose(const float *packed, const Shape &s, float *out) {
  for (int64_t d = 0; d < s.width; ++d, out += s.longer) {
    for (int64_t i = 0; i < s.length; ++i) out[i] = packed[i * s.wide + d];
    for (int64_t i = s.length; i < s.longer; ++i) out[i] = 0.0f;
  }
}

// Softmax of one row of scores plus mask, zeros in the padding.
void softmax(const float *scores, const float *mask, int64_t length, int64_t longer, float *out) {
  float highest = scores[0] + mask[0], sum = 0.0f;
#pragma omp simd reduction(max : highest)
  for (int64_t j = 0; j < length; ++j) {
    out[j] = scores[j] + mask[j];
    highest = out[j] > highest ? out[j] : highest;
  }
#pragma omp simd reduction(+ : sum)
  for (int64_t j = 0; j < length; ++j) {
    out[j] = exp_below_zero(out[j] - highest);
    sum += out[j];
  }
  const float share = 1.0f / sum;
#pragma omp simd
  for (int64_t j = 0; j < length; ++j) out[j] *= share;
  for (int64_t j = length; j < longer; ++j) out[j] = 0.0f;
}

// Matrices of one thread, from one allocation that lives as long as the thread's work.
class Scratch {
 public:
  explicit Scratch(int64_t size) : memory_(size), next_(memory_.data()) {}
  float *take(int64_t size) {
    float *taken = next_;
    next_ += size;
    return taken;
  }

 private:
  std::vector<float> memory_;
  float *next_;
};

// Inputs: products and biases of the dense layers, mask [B, 1, 1, S], scale of the scores.
struct Inputs {
  Dense query, key, value;
  const float *mask;
  float scale;

  explicit Inputs(const Arguments &args, int scale = 7)
      : query{args.floats(0), args.floats(1)}, key{args.floats(2), args.floats(3)},
        value{args.floats(4), args.floats(5)}, mask(args.floats(6)), scale(args.floats(scale)[0]) {}
};

// to = dropout(from); both [Q, longer] of one task, padding unchanged
void drop_probs(const float *from, const Dropout &drop, const Shape &s, int64_t task, float *to) {
  const int64_t place = task * s.queries * s.length;
  for (int64_t i = 0; i < s.queries; ++i)
    drop.apply(from + i * s.longer, place + i * s.length, s.length, to + i * s.longer);
}

// Packed matrices of a task, for shapes up to `s`.
struct Workspace {
  Scratch scratch;
  float *q, *k, *v, *mixed, *k_transposed, *probs;

  explicit Workspace(const Shape &s)
      : scratch(2 * s.queries * s.wide + 2 * s.length * s.wide + (s.width + s.queries) * s.longer),
        q(scratch.take(s.queries * s.wide)), k(scratch.take(s.length * s.wide)),
        v(scratch.take(s.length * s.wide)), mixed(scratch.take(s.queries * s.wide)),
        k_transposed(scratch.take(s.width * s.longer)), probs(scratch.take(s.queries * s.longer)) {}
};

// The context of one task, [Q, D] in its place in [B*Q, H]; scores [Q, S], null: not stored.
template <bool DROPPED>
void attend(const Inputs &in, const Shape &s, int64_t task, const float *mask, const Dropout &drop,
            const Workspace &w, float *context, float *scores) {
  pack(in.query, s, task, s.queries, in.scale, w.q);
  pack(in.key, s, task, s.length, 1.0f, w.k);
  pack(in.value, s, task, s.length, 1.0f, w.v);
  transpose(w.k, s, w.k_transposed);
  product({w.q, s.wide, 1}, w.k_transposed, w.probs, s.queries, s.longer, s.width);
  for (int64_t i = 0; i < s.queries; ++i) {
    float *probs = w.probs + i * s.longer, *row = scores ? scores + i * s.length : probs;
    if (scores) std::memcpy(row, probs, s.length * sizeof(float));
    softmax(row, mask, s.length, s.longer, probs);
  }
  if (DROPPED) drop_probs(w.probs, drop, s, task, w.probs);
  product({w.probs, s.longer, 1}, w.v, w.mixed, s.queries, s.wide, s.length);
  float *to = context + s.start(task, s.queries);
  for (int64_t i = 0; i < s.queries; ++i)
    std::memcpy(to + i * s.hidden, w.mixed + i * s.wide, s.width * sizeof(float));
}

template <bool DROPPED>
void forward(const Inputs &in, const Shape &s, const Dropout &drop, float *context, float *scores) {
  over_rows(s.batch * s.heads, s.queries * s.length, [&](int64_t first, int64_t last, int) {
    const Workspace workspace(s);
    for (int64_t task = first; task < last; ++task)
      attend<DROPPED>(in, s, task, in.mask + task / s.heads * s.length, drop, workspace, context,
                      scores + task * s.queries * s.length);
  });
}

// Consecutive queries of one sequence, and its keys.
struct Group {
  int64_t query, queries, key, length;
};

// The groups of `queries` queries, of which i is token rows[i] of `tokens`; none for tokens of sequence 0.
std::vector<Group> groups_of(const int32_t *sequences, int64_t tokens, const int32_t *rows, int64_t queries) {
  std::vector<Group> groups;
  for (int64_t i = 0; i < queries; ++i) {
    const int64_t row = rows[i];
    if (!sequences[row]) continue;
    if (!groups.empty()) {
      Group &before = groups.back();
      const bool same = row >= before.key && row < before.key + before.length;
      if (same && before.query + before.queries == i) {
        ++before.queries;
        continue;
      }
    }
    int64_t first = row, last = row + 1;
    while (first > 0 && sequences[first - 1] == sequences[row]) --first;
    while (last < tokens && sequences[last] == sequences[row]) ++last;
    groups.push_back({i, 1, first, last - first});
  }
  return groups;
}

void packed_forward(const Inputs &in, const std::vector<Group> &groups, int64_t heads, int64_t hidden,
                    float *context) {
  int64_t queries = 0, length = 0;
  for (const Group &group : groups) {
    queries = std::max(queries, group.queries);
    length = std::max(length, group.length);
  }
  const Shape largest(1, heads, queries, length, hidden);
  const std::vector<float> no_mask(length, 0.0f);
  over_rows(static_cast<int64_t>(groups.size()) * heads, queries * length,
            [&](int64_t first, int64_t last, int) {
    const Workspace workspace(largest);
    for (int64_t task = first; task < last; ++task) {
      const Group &group = groups[task / heads];
      Inputs own = in;
      own.query.product += group.query * hidden;
      own.key.product += group.key * hidden;
      own.value.product += group.key * hidden;
      attend<false>(own, Shape(1, heads, group.queries, group.length, hidden), task % heads, no_mask.data(),
                    {}, workspace, context + group.query * hidden, nullptr);
    }
  });
}

// A gradient's tensor [B*rows, H], and the sum over its rows, that of the bias.
struct DenseGradient {
  float *product, *bias;
};

// Writes one task's packed gradient [rows, wide], times scale, and adds it to the bias's gradient.
void unpack(const float *packed, const Shape &s, int64_t task, int64_t rows, float scale,
            const DenseGradient &out) {
  float *to = out.product + s.start(task, rows), *sum = out.bias + task % s.heads * s.width;
  for (int64_t i = 0; i < rows; ++i, to += s.hidden, packed += s.wide)
    for (int64_t d = 0; d < s.width; ++d) {
      to[d] = packed[d] * scale;
      sum[d] += to[d];
    }
}

// probs and d_probs [Q, longer], output gradient of the scores [Q, S]; d_probs becomes their gradient
void softmax_gradient(const float *probs, float *d_probs, const float *upstream, const Shape &s) {
  for (int64_t i = 0; i < s.queries; ++i, probs += s.longer, d_probs += s.longer, upstream += s.length) {
    float along = 0.0f;
#pragma omp simd reduction(+ : along)
    for (int64_t j = 0; j < s.length; ++j) along += probs[j] * d_probs[j];
#pragma omp simd
    for (int64_t j = 0; j < s.length; ++j) d_probs[j] = probs[j] * (d_probs[j] - along) + upstream[j];
  }
}

// The scores, and the output gradients of context [B*Q, H] and of scores [B, N, Q, S].
struct Upstream {
  const float *scores, *of_context, *of_scores;
};

// Gradient buffers: of query [B*Q, H], key, value [B*S, H] and, summed over rows, of their biases [H].
struct Gradients {
  float *query, *key, *value, *query_bias, *key_bias, *value_bias;
};

template <bool DROPPED>
void backward(const Inputs &in, const Shape &s, const Dropout &drop, const Upstream &up_of,
              const Gradients &out) {
  const std::vector<float> no_bias(s.hidden, 0.0f);
  const Dense upstream{up_of.of_context, no_bias.data()};
  ColumnSums query_sums(s.hidden), key_sums(s.hidden), value_sums(s.hidden);
  over_rows(s.batch * s.heads, s.queries * s.length, [&](int64_t first, int64_t last, int thread) {
    const int64_t queried = s.queries * s.wide, tall = s.length * s.wide, square = s.queries * s.longer;
    Scratch scratch(2 * queried + 3 * tall + s.width * s.longer + 3 * square);
    float *q = scratch.take(queried), *k = scratch.take(tall), *v = scratch.take(tall);
    float *up = scratch.take(queried), *mixed = scratch.take(tall);
    float *v_transposed = scratch.take(s.width * s.longer);
    float *probs = scratch.take(square), *d_probs = scratch.take(square);
    float *used = DROPPED ? scratch.take(square) : probs;
    for (int64_t task = first; task < last; ++task) {
      const int64_t place = task * s.queries * s.length;
      pack(in.query, s, task, s.queries, in.scale, q);
      pack(in.key, s, task, s.length, 1.0f, k);
      pack(in.value, s, task, s.length, 1.0f, v);
      pack(upstream, s, task, s.queries, 1.0f, up);
      for (int64_t i = 0; i < s.queries; ++i)
        softmax(up_of.scores + place + i * s.length, in.mask + task / s.heads * s.length, s.length, s.longer,
                probs + i * s.longer);
      if (DROPPED) drop_probs(probs, drop, s, task, used);
      // value: probs^T d_context
      product({used, 1, s.longer}, up, mixed, s.length, s.wide, s.queries);
      unpack(mixed, s, task, s.length, 1.0f, {out.value, value_sums.of(thread)});
      // scores: through dropout and softmax from d_context value^T
      transpose(v, s, v_transposed);
      product({up, s.wide, 1}, v_transposed, d_probs, s.queries, s.longer, s.width);
      if (DROPPED) drop_probs(d_probs, drop, s, task, d_probs);
      softmax_gradient(probs, d_probs, up_of.of_scores + place, s);
      product({d_probs, s.longer, 1}, k, mixed, s.queries, s.wide, s.length);
      unpack(mixed, s, task, s.queries, in.scale, {out.query, query_sums.of(thread)});
      product({d_probs, 1, s.longer}, q, mixed, s.length, s.wide, s.queries);
      unpack(mixed, s, task, s.length, 1.0f, {out.key, key_sums.of(thread)});
    }
  });
  query_sums.write(out.query_bias);
  key_sums.write(out.key_bias);
  value_sums.write(out.value_bias);
}

Shape shape_of(const Arguments &args, int scores) {
  return Shape(args.size(scores, 0), args.size(scores, 1), args.size(scores, 2), args.last(scores),
               args.last(1));
}

Gradients gradients_at(const Arguments &args, int first) {
  return {args.floats(first),     args.floats(first + 1), args.floats(first + 2),
          args.floats(first + 3), args.floats(first + 4), args.floats(first + 5)};
}

}  // namespace

// query [B*Q, H], its bias [H], key [B*S, H], bias, value [B*S, H], bias, mask [B, 1, 1, S], scale [1]
// -> context [B*Q, H], scores [B, N, Q, S] (scaled, before mask and softmax)
KERNEL(attention) {
  const Arguments args{data, ranks, shapes};
  forward<false>(Inputs(args), shape_of(args, 9), {}, args.floats(8), args.floats(9));
  return 0;
}

// the eight inputs of `attention`, scores, output gradients of context and of scores
// -> gradients of query [B*Q, H], key, value [B*S, H] and of their biases [H]
KERNEL(attention_gradient) {
  const Arguments args{data, ranks, shapes};
  backward<false>(Inputs(args), shape_of(args, 8), {}, {args.floats(8), args.floats(9), args.floats(10)},
                  gradients_at(args, 11));
  return 0;
}

// query [P, H], its bias [H], key, bias, value, bias ([R, H] and [H]) of sequences that follow each other;
// sequences [R] int32, equal for the tokens of one (0: padding), rows [P] int32 of the queries, scale [1]
// -> context [P, N, D], of attention within each sequence; zero for padding
KERNEL(packed_attention) {
  const Arguments args{data, ranks, shapes};
  const Inputs in(args, 8);
  const auto groups = groups_of(static_cast<int32_t *>(data[6]), args.count(6),
                                static_cast<int32_t *>(data[7]), args.count(7));
  float *context = args.floats(9);
  std::fill(context, context + args.count(9), 0.0f);
  packed_forward(in, groups, args.size(9, 1), args.last(1), context);
  return 0;
}

// As attention, then step [1], key [2], rate [1] of the dropout of the probabilities.
KERNEL(dropout_attention) {
  const Arguments args{data, ranks, shapes};
  const Dropout drop(data[8], data[9], args.floats(10));
  forward<true>(Inputs(args), shape_of(args, 12), drop, args.floats(11), args.floats(12));
  return 0;
}

// the eleven inputs of `dropout_attention`, scores, output gradients
// of context and of scores -> as attention_gradient
KERNEL(dropout_attention_gradient) {
  const Arguments args{data, ranks, shapes};
  const Dropout drop(data[8], data[9], args.floats(10));
  backward<true>(Inputs(args), shape_of(args, 11), drop,
                 {args.floats(11), args.floats(12), args.floats(13)}, gradients_at(args, 14));
  return 0;
}
