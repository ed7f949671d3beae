// Attention of one query token per sequence, fused with what makes its query, key and value.
//
//     qkv [M, (H + 2 KH) D]    cache [blocks, B, KH, D] of keys and of values    out [M, H, D]
//
// It does what `triton/paged_decode.py` does, whose text says why; here is how. A block takes a
// sequence and a key-value head, or one of SPLITS parts of it, and reads every key and value once, for
// G query heads that share them: all of them, or if they are too many for a thread's registers, one of
// SHARES of them, whose blocks find in the L2 cache what the first has read. With one query there is no
// matrix to multiply: the arithmetic is done by ordinary threads, and needs a third of what they can do
// while the memory streams.
//
//     a warp's step, D = 128:   lanes 0 to 15   token 0 | token 2 | token 4 | ...   TOKENS of them
//                               lanes 16 to 31  token 1 | token 3 | token 5 | ...
//
// A lane holds 8 numbers of a key, of a value, of each query and of each sum. The lanes of a token
// add their part of q k up. Each group of lanes keeps an online softmax of its own tokens, and all
// of them meet at the end: groups by shuffles, warps through shared memory, the blocks of a split
// through the shared memory of the first. Registers are loaded again as soon as they have been used,
// so that each warp has loads under way while it computes.
//
// The first step's keys and values are loaded before the kernel that makes qkv has ended.
//
// Constants in capitals come from `decode.py`; what several CUDA C++ kernels use is in
// `hopper.cuh`. Source: flash-decoding (Dao et al., 2023).

constexpr int LANES = D / 8;        // of a token
constexpr int GROUPS = 32 / LANES;  // tokens that a warp reads at once
constexpr int STEP = GROUPS * TOKENS;
constexpr int STRIDE = WARPS * STEP;
constexpr int HEADS = KH * GROUP;
constexpr u32 ALL = 0xFFFFFFFFu;
constexpr float LOWEST = -1e30f;  // finite: minus infinity less itself is not a number
static_assert(B % STEP == 0);     // a step lies in one block of the cache

// ---------------------------------------------------------------- what has no name in C++

// The cache is read once: nothing of it stays in L1. Not `ld.global.nc`, whose loads the compiler
// moves behind the wait for the predecessor.
__device__ uint4 load_once(const uint4* p) {
    uint4 v;
    asm volatile("ld.global.L1::no_allocate.v4.u32 {%0, %1, %2, %3}, [%4];"
                 : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w) : "l"(p));
    return v;
}

__device__ void store_in_first_block(float* place, float value) {  // of the cluster
    u32 remote = address_in(shared_address(place), 0);
    asm volatile("st.shared::cluster.f32 [%0], %1;" ::"r"(remote), "f"(value) : "memory");
}

__device__ float sum_over(float x, int lanes) {
    for (int i = 1; i < lanes; i *= 2) x += __shfl_xor_sync(ALL, x, i);
    return x;
}

// ---------------------------------------------------------------- a lane's eight numbers

struct Eight {
    float x[8];

    __device__ static Eight of(uint4 v) {
        u32 pairs[4] = {v.x, v.y, v.z, v.w};
        Eight e;
        for (int i = 0; i < 4; i++) e.x[2 * i] = low_half(pairs[i]), e.x[2 * i + 1] = high_half(pairs[i]);
        return e;
    }
    __device__ static Eight at(const bf16* p) { return of(*(const uint4*)p); }

    __device__ uint4 to_bf16() const {
        return make_uint4(to_bf16_pair(x[0], x[1]), to_bf16_pair(x[2], x[3]),
                          to_bf16_pair(x[4], x[5]), to_bf16_pair(x[6], x[7]));
    }
    __device__ float dot(const Eight& other) const {
        float sum = 0;
        for (int i = 0; i < 8; i++) sum += x[i] * other.x[i];
        return sum;
    }
};

// ---------------------------------------------------------------- who reads what

struct Place {
    int warp = threadIdx.x / 32, lane = threadIdx.x % LANES, group = threadIdx.x % 32 / LANES;
    int kv_head = blockIdx.x / SHARES, share = blockIdx.x % SHARES, row = blockIdx.y, split = blockIdx.z;
    int newest, begin, end;  // the newest token, and the cached ones that this block reads
    const int* table;

    __device__ Place(const int* tables, int stride, const i64* table_rows, const int* context_lens) {
        newest = context_lens[row] - 1;
        int part = (newest + SPLITS * STEP - 1) / (SPLITS * STEP) * STEP;
        begin = split * part, end = min(begin + part, newest);
        table = tables + table_rows[row] * stride;
    }
    __device__ int block_of(int token) const { return table[min(token, newest) / B]; }
    __device__ i64 cell(int block, int token) const {  // of this lane's numbers, in the cache
        return ((i64)block * B + token % B) * (KH * D) + kv_head * D + lane * 8;
    }
    __device__ int first_head() const { return kv_head * GROUP + share * G; }
    __device__ int num_heads() const { return min(G, GROUP - share * G); }  // the last share may have fewer
    __device__ int token(int step, int t) const { return step + t * GROUPS + group; }
};

typedef uint4 Tile[TOKENS];  // a lane's part of the keys or values of a step

__device__ void load(Tile& tile, const bf16* cache, const Place& at, int block, int step) {
    const uint4* first = (const uint4*)(cache + at.cell(block, at.token(step, 0)));
    for (int t = 0; t < TOKENS; t++)
        tile[t] = at.token(step, t) < at.end ? load_once(first + t * GROUPS * (KH * D / 8))
                                             : make_uint4(0, 0, 0, 0);
}

// ---------------------------------------------------------------- query, key and value

// Makes a query, key or value out of a row of the projection.
struct Maker {
    const bf16 *row, *bias;
    int lane;
    float factor, eps;
    Eight cos, sin;

    __device__ Maker(const bf16* qkv, const bf16* bias_, const float* cos_sin, const Place& at, float eps_)
        : bias(bias_), lane(at.lane), eps(eps_) {
        row = qkv + (i64)at.row * (HEADS + 2 * KH) * D;
        const float4* angles = (const float4*)(cos_sin + (i64)at.newest * D + lane * 8 % (D / 2));
        for (int i = 0; i < 2; i++) {
            *(float4*)(cos.x + 4 * i) = angles[i];
            *(float4*)(sin.x + 4 * i) = angles[i + D / 8];
        }
        if (lane < LANES / 2)
            for (float& x : sin.x) x = -x;
    }

    // If the projection was made of a stream that was not normed, its scale is still missing.
    __device__ void find_factor(const bf16* stream) {
        float sum = 0;
        for (int column = threadIdx.x % 32 * 8; column < HIDDEN; column += 32 * 8) {
            Eight x = Eight::at(stream + column);
            sum += x.dot(x);
        }
        factor = HIDDEN ? rsqrtf(sum_over(sum, 32) / (HIDDEN + !HIDDEN) + eps) : 1;
    }

    __device__ Eight projected(int head) const {
        Eight e = Eight::at(row + head * D + lane * 8);
        for (float& x : e.x) x *= factor;
        if (HAS_BIAS) {
            Eight b = Eight::at(bias + head * D + lane * 8);
            for (int i = 0; i < 8; i++) e.x[i] += b.x[i];
        }
        return e;
    }

    __device__ Eight rotated(int head, const bf16* norm) const {
        Eight e = projected(head);
        if (HAS_QK_NORM) {
            float scale = rsqrtf(sum_over(e.dot(e), LANES) / D + eps);
            Eight weight = Eight::at(norm + lane * 8);
            for (int i = 0; i < 8; i++) e.x[i] *= scale * weight.x[i];
        }
        Eight turned;
        for (int i = 0; i < 8; i++) {
            float partner = __shfl_xor_sync(ALL, e.x[i], LANES / 2);  // D / 2 numbers away
            turned.x[i] = e.x[i] * cos.x[i] + partner * sin.x[i];
        }
        return Eight::of(turned.to_bf16());  // what others would read from memory
    }
};

// ---------------------------------------------------------------- the online softmax

struct State {  // of a group of lanes, for each query head
    float highest[G], total[G];
    Eight acc[G];

    __device__ State() {
        for (int g = 0; g < G; g++) {
            highest[g] = LOWEST, total[g] = 0;
            for (float& x : acc[g].x) x = 0;
        }
    }

    __device__ void raise(int g, float score) {
        float higher = fmaxf(highest[g], score), correction = exp2_of(highest[g] - higher);
        highest[g] = higher, total[g] *= correction;
        for (float& x : acc[g].x) x *= correction;
    }

    __device__ void add(int g, float score, const Eight& value) {
        float weight = exp2_of(score - highest[g]);
        total[g] += weight;
        for (int i = 0; i < 8; i++) acc[g].x[i] += weight * value.x[i];
    }

    __device__ void merge_groups() {
        for (int lanes = LANES; lanes < 32; lanes *= 2)
            for (int g = 0; g < G; g++) {
                raise(g, __shfl_xor_sync(ALL, highest[g], lanes));
                total[g] += __shfl_xor_sync(ALL, total[g], lanes);
                for (float& x : acc[g].x) x += __shfl_xor_sync(ALL, x, lanes);
            }
    }
};

// Scores of a step's tokens, lower than any number for those that are not this block's.
typedef float Scores[TOKENS][G];

__device__ void score(Scores& scores, const Tile& k, const Eight (&q)[G], const Place& at, int step) {
    for (int t = 0; t < TOKENS; t++) {
        Eight key = Eight::of(k[t]);
        for (int g = 0; g < G; g++) scores[t][g] = q[g].dot(key);
    }
    for (int lanes = 1; lanes < LANES; lanes *= 2)
        for (int t = 0; t < TOKENS; t++)
            for (int g = 0; g < G; g++) scores[t][g] += __shfl_xor_sync(ALL, scores[t][g], lanes);
    for (int t = 0; t < TOKENS; t++)
        if (at.token(step, t) >= at.end)
            for (int g = 0; g < G; g++) scores[t][g] = __int_as_float(0xFF800000);  // minus infinity
}

__device__ void accumulate(State& state, const Scores& scores, const Tile& v) {
    for (int g = 0; g < G; g++) {
        float highest = LOWEST;
        for (int t = 0; t < TOKENS; t++) highest = fmaxf(highest, scores[t][g]);
        state.raise(g, highest);
    }
    for (int t = 0; t < TOKENS; t++) {
        Eight value = Eight::of(v[t]);
        for (int g = 0; g < G; g++) state.add(g, scores[t][g], value);
    }
}

// ---------------------------------------------------------------- partial results

struct Sum {  // of one column
    float highest, total, value;

    __device__ bf16 attention() const { return (bf16)to_bf16_pair(value / total, 0); }
};

template <int COUNT> struct Partials {  // of warps or blocks, side by side in shared memory
    float highest[COUNT][G], total[COUNT][G], acc[COUNT][G * D];

    __device__ Sum sum(int column) const {  // always in the same order
        int g = column / D;
        Sum all = {LOWEST, 0, 0};
        for (int i = 0; i < COUNT; i++) all.highest = fmaxf(all.highest, highest[i][g]);
        for (int i = 0; i < COUNT; i++) {
            float scale = exp2_of(highest[i][g] - all.highest);
            all.total += scale * total[i][g];
            all.value += scale * acc[i][column];
        }
        return all;
    }
};

__device__ void leave(Partials<WARPS>& partials, const State& state, const Place& at) {
    if (at.group > 0) return;  // all groups have the same
    for (int g = 0; g < G; g++) {
        partials.highest[at.warp][g] = state.highest[g];
        partials.total[at.warp][g] = state.total[g];
        float4* to = (float4*)(partials.acc[at.warp] + g * D + at.lane * 8);
        for (int i = 0; i < 2; i++) to[i] = *(const float4*)(state.acc[g].x + 4 * i);
    }
}

__device__ void send(Partials<SPLITS>& partials, const Sum& sum, int split, int column) {
    store_in_first_block(&partials.acc[split][column], sum.value);
    if (column % D) return;
    store_in_first_block(&partials.highest[split][column / D], sum.highest);
    store_in_first_block(&partials.total[split][column / D], sum.total);
}

// ---------------------------------------------------------------- the kernel

extern "C" __global__ void __cluster_dims__(1, 1, SPLITS) __launch_bounds__(32 * WARPS, BLOCKS)
hopper_decode(
    const bf16* qkv, const bf16* stream, const bf16* bias, const bf16* q_norm, const bf16* k_norm,
    const float* cos_sin, bf16* keys, bf16* values, bf16* out, const int* tables,
    const i64* table_rows, const int* context_lens, int table_stride, float scale, float eps) {
    __shared__ Partials<WARPS> of_warps;
    __shared__ Partials<SPLITS> of_blocks;
    allow_successor();
    if (SPLITS > 1) cluster_arrive();
    Place at(tables, table_stride, table_rows, context_lens);

    int step = at.begin + at.warp * STEP, block = at.block_of(step);
    Tile k, v;
    load(k, keys, at, block, step);
    load(v, values, at, block, step);
    block = at.block_of(step + STRIDE);  // known a step ahead, or each load would wait for another
    Maker make(qkv, bias, cos_sin, at, eps);
    wait_for_predecessor();
    make.find_factor(stream + (i64)at.row * HIDDEN);
    Eight q[G];
    for (int g = 0; g < G; g++) {
        q[g] = make.rotated(at.first_head() + min(g, at.num_heads() - 1), q_norm);
        for (float& x : q[g].x) x *= scale;
    }

    State state;
    if (at.split == 0 && at.warp == WARPS - 1) {  // the newest token; nobody else reads it here
        Eight key = make.rotated(HEADS + at.kv_head, k_norm);
        uint4 value = make.projected(HEADS + KH + at.kv_head).to_bf16();
        for (int g = 0; g < G; g++) {
            float score = sum_over(q[g].dot(key), LANES);
            if (at.group == 0) state.raise(g, score), state.add(g, score, Eight::of(value));
        }
        i64 slot = at.cell(at.block_of(at.newest), at.newest);
        if (at.group == 0 && at.share == 0)
            *(uint4*)(keys + slot) = key.to_bf16(), *(uint4*)(values + slot) = value;
    }
    for (; step < at.end; step += STRIDE) {
        Scores scores;
        score(scores, k, q, at, step);
        load(k, keys, at, block, step + STRIDE);
        __syncwarp();  // these loads belong before what follows; the compiler may still move them
        accumulate(state, scores, v);
        load(v, values, at, block, step + STRIDE);
        block = at.block_of(step + 2 * STRIDE);
    }

    state.merge_groups();
    leave(of_warps, state, at);
    __syncthreads();
    if (SPLITS > 1) cluster_wait();  // all blocks have begun, so the first one's memory is there
    bf16* to = out + ((i64)at.row * HEADS + at.first_head()) * D;
    int num_columns = at.num_heads() * D;
    for (int column = threadIdx.x; column < num_columns; column += 32 * WARPS) {
        Sum sum = of_warps.sum(column);
        if (SPLITS > 1) send(of_blocks, sum, at.split, column);
        else to[column] = sum.attention();
    }
    if (SPLITS == 1) return;
    cluster_arrive();
    cluster_wait();
    if (at.split > 0) return;
    for (int column = threadIdx.x; column < num_columns; column += 32 * WARPS)
        to[column] = of_blocks.sum(column).attention();
}
