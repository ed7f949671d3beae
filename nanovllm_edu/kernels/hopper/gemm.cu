// A matrix product of 1 to 256 rows, out of the parts that Hopper has for it.
//
//     x [M, K]  times  w [N, K] transposed,  with what surrounds it in a decoder layer
//
// A block computes BM rows x BN columns. One warp, the producer, has tiles of x and w copied into a
// ring of STAGES places in shared memory; one or two groups of four warps, the consumers, multiply
// what has arrived:
//
//     producer    | fill 0 | fill 1 | fill 2 | fill 3 | fill 0 ...      full[s]   "has arrived"
//     consumers            | use 0  | use 1  | use 2  | use 3  ...      empty[s]  "may be filled"
//
// Three things make it fast where the rows are few:
//
// - Clusters. With 64 to 256 rows the way from L2 to the multiprocessors is what limits: every block
//   needs all of its rows of x. The blocks of a cluster fetch a share each, and the copy engine
//   delivers it to all of them (multicast). CLUSTER_N blocks share rows of x, CLUSTER_M blocks share
//   columns of w.
// - Programmatic launch (`launch.py`). The first STAGES tiles of w are on their way, and the rest of
//   a short w on its way to L2, before the kernel that makes x has ended.
// - Splits. Where N is small, SPLITS blocks of one cluster take a part of the depth each, and add up
//   through each other's shared memory: no trip to memory, no second kernel.
//
// KIND says what surrounds the product; see `triton/residual.py`, whose kernels these replace:
//
//     PROJECT   out = x w^T / rms                       rms from `squares`
//     GATE_UP   out = silu(gate) * up                   w's rows: N gates, then N ups
//     ADD       residual += x w^T, and its squares
//     PLAIN     out = x w^T                             other GPUs have the rest of x and w
//
// The constants in capitals, and WGMMA, the one instruction whose text depends on BN, come from
// `gemm.py`; what several CUDA C++ kernels use is in `hopper.cuh`. Needs compute
// capability 9.0. Source: CUTLASS's warp-specialised kernels, PTX manual on wgmma, mbarrier and
// cp.async.bulk.tensor.

enum { PROJECT, GATE_UP, ADD, PLAIN };

constexpr int BK = 64;  // 128 bytes: one row of a swizzled tile
constexpr int GROUPS = BM / 64;
constexpr int CONSUMERS = GROUPS * 128;
constexpr int THREADS = CONSUMERS + 32;
constexpr int STEPS = K / SPLITS / BK;
// Steps whose w is asked for before the wait. More than two rings full would only keep others waiting.
constexpr int FETCHED = STEPS <= 2 * STAGES ? STEPS : STAGES;
constexpr int X_BYTES = BM * BK * 2, W_BYTES = BN * BK * 2, STAGE_BYTES = X_BYTES + W_BYTES;
constexpr int WARPS_PER_STAGE = (CLUSTER_N + CLUSTER_M - 1) * (CONSUMERS / 32);
constexpr int BLOCKS = STAGES * STAGE_BYTES > 113 * 1024 ? 1 : 2;  // of a multiprocessor
constexpr int OUT_COLUMNS = KIND == GATE_UP ? BN / 2 : BN;
constexpr int ROWS = BM / SPLITS;  // that a block finishes
constexpr int PART = 64;  // columns of the residual whose squares are summed up together
constexpr int SQUARES = (KIND == ADD ? COLUMNS : K) / PART;
constexpr int SUM_STRIDE = BN + 8;  // of sums in shared memory; the 8 avoid bank conflicts
static_assert((KIND == PLAIN || SQUARES % 2 == 0) && (KIND != ADD || BN % PART == 0) && K % (SPLITS * BK) == 0 && BM % (8 * CLUSTER_N) == 0 && BN % (16 * CLUSTER_M) == 0);
static_assert(BM * SUM_STRIDE * 4 <= STAGES * STAGE_BYTES);

// ---------------------------------------------------------------- what has no name in C++

__device__ void barrier_arrive_in(u32 barrier, u32 block) {
    asm volatile("mbarrier.arrive.shared::cluster.b64 _, [%0];"
                 ::"r"(address_in(barrier, block)) : "memory");
}

// Both wait for all threads of the cluster; only the second lets them see what others wrote.
__device__ void cluster_meet() {
    asm volatile("barrier.cluster.arrive.relaxed.aligned;" ::: "memory");
    cluster_wait();
}

__device__ void cluster_exchange() {
    cluster_arrive();
    cluster_wait();
}

__device__ void copy_tile(u32 to, const TensorMap* map, int column, int row, u32 barrier, u32 blocks) {
    asm volatile(
        "cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes"
        ".multicast::cluster [%0], [%1, {%2, %3}], [%4], %5;"
        ::"r"(to), "l"(map), "r"(column), "r"(row), "r"(barrier), "h"((unsigned short)blocks)
        : "memory");
}

__device__ void prefetch_map(const TensorMap* map) {
    asm volatile("prefetch.tensormap [%0];" ::"l"(map) : "memory");
}

__device__ void fetch_to_l2(const TensorMap* map, int column, int row) {
    asm volatile("cp.async.bulk.prefetch.tensor.2d.L2.global.tile [%0, {%1, %2}];"
                 ::"l"(map), "r"(column), "r"(row) : "memory");
}

__device__ float4 load_from(u32 address, u32 block) {
    float4 v;
    if (SPLITS == 1)  // this block: not through the cluster's network
        asm volatile("ld.shared::cta.v4.f32 {%0, %1, %2, %3}, [%4];"
                     : "=f"(v.x), "=f"(v.y), "=f"(v.z), "=f"(v.w) : "r"(address));
    else
        asm volatile("ld.shared::cluster.v4.f32 {%0, %1, %2, %3}, [%4];"
                     : "=f"(v.x), "=f"(v.y), "=f"(v.z), "=f"(v.w) : "r"(address_in(address, block)));
    return v;
}

__device__ void consumers_meet() { asm volatile("bar.sync 1, %0;" ::"n"(CONSUMERS) : "memory"); }

// ---------------------------------------------------------------- who is where

struct Place {  // of a block in its cluster and in the product
    int n, m, split, row, column;

    __device__ Place() {
        n = blockIdx.x % CLUSTER_N, m = blockIdx.y % CLUSTER_M, split = blockIdx.z;
        row = blockIdx.y * BM, column = blockIdx.x * OUT_COLUMNS;
    }
    __device__ u32 rank(int n_, int m_, int split_) const {
        return n_ + CLUSTER_N * (m_ + CLUSTER_M * split_);
    }
    __device__ u32 same_rows() const {  // the blocks that get this block's share of x: a bit each
        return ((1u << CLUSTER_N) - 1) << rank(0, m, split);
    }
    __device__ u32 same_columns() const {  // ... of w
        u32 blocks = 0;
        for (int i = 0; i < CLUSTER_M; i++) blocks |= 1u << rank(n, i, split);
        return blocks;
    }
};

// ---------------------------------------------------------------- producer

struct Producer {
    const TensorMap *x, *w;
    u32 memory, full;
    Place at;

    __device__ int depth(int step) const { return (at.split * STEPS + step) * BK; }

    __device__ void copy_x(int step) const {
        constexpr int SHARE = BM / CLUSTER_N;
        int stage = step % STAGES;
        u32 to = memory + stage * STAGE_BYTES + at.n * SHARE * BK * 2;
        copy_tile(to, x, depth(step), at.row + at.n * SHARE, full + 8 * stage, at.same_rows());
    }

    // GATE_UP's tile is two: columns of gates, and under them the matching ups.
    template <typename Copy> __device__ void each_part_of_w(int step, Copy copy) const {
        constexpr int PARTS = KIND == GATE_UP ? 2 : 1;
        constexpr int SHARE = BN / PARTS / CLUSTER_M;
        for (int part = 0; part < PARTS; part++) {
            int first = part * (BN / PARTS) + at.m * SHARE;
            copy(first, part * COLUMNS + at.column + at.m * SHARE);
        }
    }

    __device__ void copy_w(int step) const {
        int stage = step % STAGES;
        u32 tile = memory + stage * STAGE_BYTES + X_BYTES;
        barrier_expect(full + 8 * stage, STAGE_BYTES);
        each_part_of_w(step, [&](int first, int row) {
            copy_tile(tile + first * BK * 2, w, depth(step), row, full + 8 * stage, at.same_columns());
        });
    }

    __device__ void run(u32 empty) const {
        prefetch_map(x);
        for (int step = 0; step < STEPS && step < STAGES; step++) copy_w(step);
        for (int step = STAGES; step < FETCHED; step++)
            each_part_of_w(step, [&](int, int row) { fetch_to_l2(w, depth(step), row); });
        wait_for_predecessor();
        // Not earlier: with two kernels on the device, and not more, blocks spread evenly.
        allow_successor();
        for (int step = 0; step < STEPS; step++) {
            if (step >= STAGES) {
                barrier_wait(empty + 8 * (step % STAGES), (step / STAGES - 1) & 1);
                copy_w(step);
            }
            copy_x(step);
        }
    }
};

// ---------------------------------------------------------------- consumers

typedef float Sums[BN / 2];  // of a thread: its part of 64 x BN

__device__ void multiply(Sums& acc, u32 memory, u32 full, u32 empty, const Place& at) {
    int group = threadIdx.x / 128, lane = threadIdx.x % 32;
    auto release = [&](int step) {  // tell every block that fills this place
        u32 barrier = empty + 8 * (step % STAGES);
        if (lane < CLUSTER_N) barrier_arrive_in(barrier, at.rank(lane, at.m, at.split));
        else if (lane < CLUSTER_N + CLUSTER_M - 1) {
            int other = lane - CLUSTER_N;
            barrier_arrive_in(barrier, at.rank(at.n, other + (other >= at.m), at.split));
        }
    };
    for (int step = 0; step < STEPS; step++) {
        u32 x = memory + (step % STAGES) * STAGE_BYTES;
        barrier_wait(full + 8 * (step % STAGES), (step / STAGES) & 1);
        u64 a = matrix_descriptor(x + group * 64 * BK * 2), b = matrix_descriptor(x + X_BYTES);
        begin_products();
        for (int k = 0; k < BK / 16; k++) WGMMA(acc, a + 2 * k, b + 2 * k, step + k > 0);
        commit_products();
        await_products<1>();  // the step before is done
        if (step > 0 && step - 1 + STAGES < STEPS) release(step - 1);  // if it is filled again
    }
    await_products<0>();
}

// ---------------------------------------------------------------- after the product

// A thread holds columns 8 j + 2 (lane % 4) + {0, 1} of two rows, 8 apart.
__device__ void leave_sums(const Sums& acc, float* sums) {
    float* corner = sums + (threadIdx.x / 32 * 16 + threadIdx.x % 32 / 4) * SUM_STRIDE;
    for (int half = 0; half < 2; half++) {
        float* row = corner + 8 * half * SUM_STRIDE + threadIdx.x % 4 * 2;
        for (int j = 0; j < BN / 8; j++)
            *(float2*)(row + 8 * j) = make_float2(acc[4 * j + 2 * half], acc[4 * j + 2 * half + 1]);
    }
}

__device__ float silu(float x) { return __fdividef(x, 1 + __expf(-x)); }

// Each block of a split finishes its share of the rows: a thread takes four columns of a row, TURNS
// times.
struct Finisher {
    static constexpr int QUADS = OUT_COLUMNS / 4;
    static constexpr int TILES = BN / OUT_COLUMNS;  // 2: gates, and ups beside them
    static constexpr int TURNS = (ROWS * QUADS + CONSUMERS - 1) / CONSUMERS;
    static constexpr int NORMS = (ROWS * 4 + CONSUMERS - 1) / CONSUMERS;  // four threads a row

    Place at;
    bf16* out;
    float* squares;
    int num_rows;
    uint2 stream[TURNS];  // ADD: what is added to
    static constexpr int PAIRS = SQUARES / 2, SHARE = (PAIRS + 3) / 4;
    float2 parts[NORMS][SHARE];  // else: of the sums of squares

    __device__ int index(int turn) const { return threadIdx.x + turn * CONSUMERS; }
    __device__ int local_row(int turn) const { return index(turn) / QUADS; }
    __device__ int local_column(int turn) const { return index(turn) % QUADS * 4; }
    __device__ int row(int turn) const { return at.row + at.split * ROWS + local_row(turn); }
    __device__ int column(int turn) const { return at.column + local_column(turn); }
    __device__ bool is_mine(int turn) const { return local_row(turn) < ROWS && row(turn) < num_rows; }
    __device__ u64 cell(int turn) const { return (u64)row(turn) * COLUMNS + column(turn); }

    // Ask for what the end needs from memory. Nothing here waits for it.
    __device__ void prefetch() {
        if (KIND == ADD) {
            for (int turn = 0; turn < TURNS; turn++)
                stream[turn] = is_mine(turn) ? *(uint2*)(out + cell(turn)) : make_uint2(0, 0);
        } else if (KIND != PLAIN) {
            for (int turn = 0; turn < NORMS; turn++) {
                int row = at.row + at.split * ROWS + index(turn) / 4;
                const float2* from = (float2*)(squares + min(row, num_rows - 1) * SQUARES);
                for (int i = 0; i < SHARE; i++) {
                    int pair = 4 * i + threadIdx.x % 4;
                    parts[turn][i] = pair < PAIRS ? from[pair] : make_float2(0, 0);
                }
            }
        }
    }

    // Each row's 1 / rms, to shared memory.
    __device__ void leave_scales(float* scales, float eps) const {
        if (KIND == ADD || KIND == PLAIN) return;
        for (int turn = 0; turn < NORMS; turn++) {
            float sum = 0;
            for (float2 v : parts[turn]) sum += v.x + v.y;
            sum += __shfl_xor_sync(~0u, sum, 1);
            sum += __shfl_xor_sync(~0u, sum, 2);
            if (index(turn) / 4 < ROWS) scales[index(turn) / 4] = rsqrtf(sum / K + eps);
        }
    }

    // The sums of all splits, always in the same order. With a warp or two per scheduler nobody else
    // fills a wait, so all loads are under way before the first is needed.
    __device__ void collect(float4 (&total)[TURNS][TILES], u32 sums) const {
        float4 loaded[TURNS][TILES][SPLITS];
        for (int turn = 0; turn < TURNS; turn++)
            for (int tile = 0; tile < TILES; tile++)
                for (int split = 0; split < SPLITS; split++) {
                    int row = min(at.split * ROWS + local_row(turn), BM - 1);
                    int column = tile * OUT_COLUMNS + local_column(turn);
                    loaded[turn][tile][split] = load_from(
                        sums + (row * SUM_STRIDE + column) * 4, at.rank(at.n, at.m, split));
                }
        for (int turn = 0; turn < TURNS; turn++)
            for (int tile = 0; tile < TILES; tile++) {
                float4 sum = loaded[turn][tile][0];
                for (int split = 1; split < SPLITS; split++) {
                    float4 v = loaded[turn][tile][split];
                    sum.x += v.x, sum.y += v.y, sum.z += v.z, sum.w += v.w;
                }
                total[turn][tile] = sum;
            }
    }

    __device__ void scale_and_store(const float4 (&total)[TURNS][TILES], const float* scales) const {
        uint2 pairs[TURNS];
        for (int turn = 0; turn < TURNS; turn++) {
            float scale = KIND == PLAIN ? 1 : scales[min(local_row(turn), ROWS - 1)];
            float4 v = total[turn][0];
            v.x *= scale, v.y *= scale, v.z *= scale, v.w *= scale;
            if (KIND == GATE_UP) {
                float4 up = total[turn][TILES - 1];
                v.x = silu(v.x) * (up.x * scale), v.y = silu(v.y) * (up.y * scale);
                v.z = silu(v.z) * (up.z * scale), v.w = silu(v.w) * (up.w * scale);
            }
            pairs[turn] = make_uint2(to_bf16_pair(v.x, v.y), to_bf16_pair(v.z, v.w));
        }
        for (int turn = 0; turn < TURNS; turn++)
            if (is_mine(turn)) *(uint2*)(out + cell(turn)) = pairs[turn];
    }

    __device__ void add_to_stream(
        const float4 (&total)[TURNS][TILES], bf16* weighted, const bf16* norm) const {
        uint2 pairs[TURNS];
        float square[TURNS];
        for (int turn = 0; turn < TURNS; turn++) {
            float4 v = total[turn][0];
            uint2 old = stream[turn];
            u32 first = to_bf16_pair(low_half(old.x) + v.x, high_half(old.x) + v.y);
            u32 second = to_bf16_pair(low_half(old.y) + v.z, high_half(old.y) + v.w);
            pairs[turn] = make_uint2(first, second);
            float a = low_half(first), b = high_half(first);  // the norm sees what is stored
            float c = low_half(second), d = high_half(second);
            square[turn] = a * a + b * b + c * c + d * d;
        }
        for (int lanes = 1; lanes < PART / 4; lanes *= 2)
            for (int turn = 0; turn < TURNS; turn++)
                square[turn] += __shfl_xor_sync(~0u, square[turn], lanes);
        for (int turn = 0; turn < TURNS; turn++) {
            if (!is_mine(turn)) continue;
            *(uint2*)(out + cell(turn)) = pairs[turn];
            if (column(turn) % PART == 0) squares[row(turn) * SQUARES + column(turn) / PART] = square[turn];
            if (!norm) continue;
            uint2 v = pairs[turn], g = *(const uint2*)(norm + column(turn));
            *(uint2*)(weighted + cell(turn)) = make_uint2(
                to_bf16_pair(low_half(v.x) * low_half(g.x), high_half(v.x) * high_half(g.x)),
                to_bf16_pair(low_half(v.y) * low_half(g.y), high_half(v.y) * high_half(g.y)));
        }
    }
};

// ---------------------------------------------------------------- the kernel

extern "C" __global__ void __cluster_dims__(CLUSTER_N, CLUSTER_M, SPLITS) __launch_bounds__(THREADS, BLOCKS)
hopper_gemm(
    const __grid_constant__ TensorMap x_map, const __grid_constant__ TensorMap w_map,
    bf16* out, float* squares, bf16* weighted, const bf16* norm, int num_rows, float eps) {
    extern __shared__ __align__(1024) char memory[];
    __shared__ u64 barriers[2 * STAGES];
    __shared__ float scales[ROWS];
    u32 tiles = shared_address(memory), full = shared_address(barriers), empty = full + 8 * STAGES;
    Place at;
    if (threadIdx.x == 0) {
        for (int stage = 0; stage < STAGES; stage++) {
            barrier_init(full + 8 * stage, 1);
            barrier_init(empty + 8 * stage, WARPS_PER_STAGE);
        }
        show_barriers();
    }
    cluster_meet();  // nobody may copy into a block whose barriers are not ready

    bool is_consumer = threadIdx.x < CONSUMERS;
    Finisher finisher{at, out, squares, num_rows};
    if (is_consumer) {
        wait_for_predecessor();
        finisher.prefetch();
        Sums acc;
        multiply(acc, tiles, full, empty, at);
        finisher.leave_scales(scales, eps);
        consumers_meet();  // all tiles have arrived and been used: sums may take their place
        leave_sums(acc, (float*)memory);
    } else {
        if (threadIdx.x == CONSUMERS) Producer{&x_map, &w_map, tiles, full, at}.run(empty);
        __syncwarp();
    }
    if (SPLITS > 1) cluster_exchange();
    else __syncthreads();
    if (is_consumer) {
        float4 total[Finisher::TURNS][Finisher::TILES];
        finisher.collect(total, tiles);
        if (KIND == ADD) finisher.add_to_stream(total, weighted, norm);
        else finisher.scale_and_store(total, scales);
    }
    if (SPLITS * CLUSTER_N * CLUSTER_M > 1)
        cluster_meet();  // nobody may leave while others still copy into it, signal it or read it
}
