// A matrix product of 1 to 16 rows, whose weights go from memory straight into registers.
//
//     x [M, K]  times  w [N, K] transposed,  with what surrounds it in a decoder layer
//
// `gemm.cu` has tiles copied into shared memory, in the shape that wgmma wants: 64 rows of x, however
// few there are. With few rows nothing counts but that the memory is never idle: neither while a
// product runs nor between it and the next kernel's. So blocks are small, and each asks for its first
// weights before the kernel that makes x has ended; where one leaves, one of the next kernel comes.
//
// The instruction mma multiplies 16 x 16 numbers by 16 x 8. Its 16 rows are weights (columns of the
// result), its 8 columns are rows of x. Which 16 of the depth it takes is for us to say, if only w and
// x agree: so a lane loads 8 in a row, which are its part of two instructions.
//
//     a unit, of w or x:    depth 0..7   8..15    16..23   24..31
//                   row 0   lane 0       lane 1   lane 2   lane 3
//                   row 1   lane 4       lane 5   lane 6   lane 7
//
// A warp multiplies UNITS units, loads each again as soon as it has been used, and goes on behind what
// the other warps have taken meanwhile. In the end the warps of a block add up, and so do SPLITS blocks
// of a cluster, through shared memory and always in the same order.
//
// KIND says what surrounds the product, as in `gemm.cu`. The sums of squares that a norm needs are on
// the diagonal of x x^T, which is one more product, since every block reads all of x.
//
// The constants in capitals come from `few_rows.py`; what several CUDA C++ kernels use is in
// `hopper.cuh`. Source: PTX manual on mma.m16n8k16.

enum { PROJECT, GATE_UP, ADD, PLAIN };

constexpr bool HAS_NORM = KIND == PROJECT || KIND == GATE_UP;
constexpr int UNIT = 32;            // of the depth
constexpr int TILES = BN / 16;      // of weights
constexpr int EIGHTS = BM / 8;      // of rows of x
constexpr int DEPTH = K / SPLITS;   // of a block
constexpr int STRIDE = WARPS * UNITS * UNIT;
constexpr int TURNS = (DEPTH + STRIDE - 1) / STRIDE;
constexpr int THREADS = 32 * WARPS;
constexpr int OUT_COLUMNS = KIND == GATE_UP ? BN / 2 : BN;
constexpr int PART = 16;            // columns of the residual whose squares are summed up together
constexpr int WIDTH = BN + 4;       // of sums in shared memory; the 4 avoid bank conflicts
static_assert(K % (SPLITS * UNIT) == 0 && BM % SPLITS == 0 && COLUMNS % OUT_COLUMNS == 0);

// ---------------------------------------------------------------- what has no name in C++

// Zeros where nothing is to be loaded. Weights are read once: nothing of them stays in L1. A unit has 64
// bytes of a row; the memory brings 128 at once, whose other half is asked for next.
__device__ uint4 load_once(const bf16* p, bool is_there) {
    uint4 v = make_uint4(0, 0, 0, 0);
    asm volatile("{.reg .pred p;\nsetp.ne.s32 p, %5, 0;\n"
                 "@p ld.global.L1::no_allocate.L2::128B.v4.u32 {%0, %1, %2, %3}, [%4];\n}"
                 : "+r"(v.x), "+r"(v.y), "+r"(v.z), "+r"(v.w) : "l"(p), "r"((int)is_there));
    return v;
}

__device__ uint4 load_shared_by_all(const bf16* p, bool is_there) {
    uint4 v = make_uint4(0, 0, 0, 0);
    asm volatile("{.reg .pred p;\nsetp.ne.s32 p, %5, 0;\n"
                 "@p ld.global.v4.u32 {%0, %1, %2, %3}, [%4];\n}"
                 : "+r"(v.x), "+r"(v.y), "+r"(v.z), "+r"(v.w) : "l"(p), "r"((int)is_there));
    return v;
}

typedef float Sums[4];  // of a thread: its part of 16 x 8

__device__ void mma(Sums& sums, u32 a0, u32 a1, u32 a2, u32 a3, u32 b0, u32 b1) {
    asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, "
        "{%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
        : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3])
        : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "r"(b0), "r"(b1));
}

__device__ float load_from(const float* place, u32 block) {  // of the cluster
    float x;
    asm volatile("ld.shared::cluster.f32 %0, [%1];"
                 : "=f"(x) : "r"(address_in(shared_address(place), block)));
    return x;
}

// ---------------------------------------------------------------- operands

struct Place {
    int warp = threadIdx.x / 32, row = threadIdx.x % 32 / 4, part = threadIdx.x % 4;
    int column = blockIdx.x * OUT_COLUMNS, split = blockIdx.z;

    // Where a unit begins, in the depth of this block; the last turn may have too many.
    __device__ int begin(int turn, int unit) const { return turn * STRIDE + (warp * UNITS + unit) * UNIT; }
};

struct Loader {
    Place at;
    const bf16 *w, *x;  // this lane's first numbers
    int num_rows;

    __device__ Loader(const Place& at_, const bf16* w_, const bf16* x_, int num_rows_)
        : at(at_), num_rows(num_rows_) {
        int depth = at.split * DEPTH + at.part * 8;
        w = w_ + (i64)(at.column + at.row) * K + depth;
        x = x_ + depth;
    }

    // GATE_UP's tiles are gates, and under them the matching ups.
    __device__ void load_weights(uint4 (&tiles)[TILES][2], int turn, int unit) const {
        constexpr i64 NEXT = KIND == GATE_UP ? 8 : 16, HALF = KIND == GATE_UP ? COLUMNS : 8;
        int begin = at.begin(turn, unit);
        for (int tile = 0; tile < TILES; tile++)
            for (int half = 0; half < 2; half++)
                tiles[tile][half] = load_once(w + begin + (tile * NEXT + half * HALF) * K, begin < DEPTH);
    }

    // Rows beyond the last are the last once more: nobody reads what becomes of them.
    __device__ void load_rows(uint4 (&rows)[EIGHTS], int turn, int unit) const {
        int begin = at.begin(turn, unit);
        for (int eight = 0; eight < EIGHTS; eight++) {
            int row = min(eight * 8 + at.row, num_rows - 1);
            rows[eight] = load_shared_by_all(x + begin + row * K, begin < DEPTH);
        }
    }
};

// ---------------------------------------------------------------- the product

struct Accumulators {
    Sums sums[TILES][EIGHTS], squares[EIGHTS];  // x x^T of the same eight rows, without its lower half

    __device__ Accumulators() {
        for (int i = 0; i < 4; i++)
            for (int eight = 0; eight < EIGHTS; eight++) {
                squares[eight][i] = 0;
                for (int tile = 0; tile < TILES; tile++) sums[tile][eight][i] = 0;
            }
    }

    __device__ void add(const uint4 (&w)[TILES][2], const uint4 (&x)[EIGHTS]) {
        for (int eight = 0; eight < EIGHTS; eight++) {
            const uint4& b = x[eight];
            for (int tile = 0; tile < TILES; tile++) {
                const uint4 &a = w[tile][0], &below = w[tile][1];
                mma(sums[tile][eight], a.x, below.x, a.y, below.y, b.x, b.y);
                mma(sums[tile][eight], a.z, below.z, a.w, below.w, b.z, b.w);
            }
            if (!HAS_NORM) continue;
            mma(squares[eight], b.x, 0, b.y, 0, b.x, b.y);
            mma(squares[eight], b.z, 0, b.w, 0, b.z, b.w);
        }
    }
};

// What each warp has, side by side in shared memory.
struct Partials {
    float sums[WARPS][BM][WIDTH], squares[WARPS][BM];

    // A thread has columns 2 `part` + {0, 1} of rows `row` + {0, 8}: here these are rows of x.
    __device__ void leave(const Accumulators& acc, const Place& at) {
        for (int eight = 0; eight < EIGHTS; eight++) {
            for (int i = 0; i < 4; i++)
                for (int tile = 0; tile < TILES; tile++)
                    sums[at.warp][eight * 8 + at.part * 2 + i % 2][tile * 16 + i / 2 * 8 + at.row] =
                        acc.sums[tile][eight][i];
            if (HAS_NORM && at.row / 2 == at.part)
                squares[at.warp][eight * 8 + at.row] = at.row % 2 ? acc.squares[eight][1] : acc.squares[eight][0];
        }
    }

    __device__ float total(const float (&first)[BM][WIDTH], int row, int column) const {
        return total(&first[row][column], BM * WIDTH);
    }

    // Of all warps of all blocks. All loads are under way before the first is needed.
    __device__ float total(const float* first, int stride) const {
        float loaded[SPLITS][WARPS], sum = 0;
        for (int split = 0; split < SPLITS; split++)
            for (int warp = 0; warp < WARPS; warp++) {
                const float* place = first + warp * stride;
                loaded[split][warp] = SPLITS == 1 ? *place : load_from(place, split);
            }
        for (const float (&of_block)[WARPS] : loaded)
            for (float x : of_block) sum += x;
        return sum;
    }
};

// ---------------------------------------------------------------- after the product

__device__ float silu(float x) { return __fdividef(x, 1 + __expf(-x)); }

// Each block of a split finishes its share of the rows: a thread takes two columns of a row, COUNT times.
struct Finisher {
    static constexpr int ROWS = BM / SPLITS, PAIRS = OUT_COLUMNS / 2;
    static constexpr int COUNT = (ROWS * PAIRS + THREADS - 1) / THREADS;

    Place at;
    bf16* out;
    int num_rows;
    u32 stream[COUNT];  // ADD: what is added to

    __device__ int index(int i) const { return threadIdx.x + i * THREADS; }
    __device__ int row(int i) const { return at.split * ROWS + index(i) / PAIRS; }
    __device__ int local_column(int i) const { return index(i) % PAIRS * 2; }
    __device__ int column(int i) const { return at.column + local_column(i); }
    __device__ bool is_mine(int i) const { return index(i) < ROWS * PAIRS && row(i) < num_rows; }
    __device__ i64 cell(int i) const { return (i64)row(i) * COLUMNS + column(i); }

    // Ask for what the end needs from memory. Nothing here waits for it.
    __device__ void prefetch() {
        for (int i = 0; i < COUNT; i++) stream[i] = KIND == ADD && is_mine(i) ? *(u32*)(out + cell(i)) : 0;
    }

    __device__ void store(const Partials& partials, float eps) const {
        for (int i = 0; i < COUNT; i++) {
            if (!is_mine(i)) continue;
            float scale = 1, pair[2];
            if (HAS_NORM) scale = rsqrtf(partials.total(&partials.squares[0][row(i)], BM) / K + eps);
            for (int j = 0; j < 2; j++) {
                int c = local_column(i) + j, place = KIND == GATE_UP ? c / 8 * 16 + c % 8 : c;
                float x = partials.total(partials.sums[0], row(i), place) * scale;
                if (KIND == GATE_UP) x = silu(x) * (partials.total(partials.sums[0], row(i), place + 8) * scale);
                pair[j] = x;
            }
            *(u32*)(out + cell(i)) = to_bf16_pair(pair[0], pair[1]);
        }
    }

    __device__ void add_to_stream(
        const Partials& partials, float* squares, bf16* weighted, const bf16* norm) const {
        for (int i = 0; i < COUNT; i++) {
            u32 stored = 0;
            if (is_mine(i)) {
                int first = local_column(i);
                float a = partials.total(partials.sums[0], row(i), first);
                float b = partials.total(partials.sums[0], row(i), first + 1);
                stored = to_bf16_pair(low_half(stream[i]) + a, high_half(stream[i]) + b);
            }
            float a = low_half(stored), b = high_half(stored);  // the norm sees what is stored
            float square = a * a + b * b;
            for (int lanes = 1; lanes < PART / 2; lanes *= 2) square += __shfl_xor_sync(~0u, square, lanes);
            if (!is_mine(i)) continue;
            *(u32*)(out + cell(i)) = stored;
            if (column(i) % PART == 0) squares[(row(i) * COLUMNS + column(i)) / PART] = square;
            if (!norm) continue;
            u32 g = *(const u32*)(norm + column(i));
            *(u32*)(weighted + cell(i)) = to_bf16_pair(a * low_half(g), b * high_half(g));
        }
    }
};

// ---------------------------------------------------------------- the kernel

extern "C" __global__ void __cluster_dims__(1, 1, SPLITS) __launch_bounds__(THREADS, BLOCKS)
hopper_few_rows(
    const bf16* x, const bf16* w, bf16* out, float* squares, bf16* weighted, const bf16* norm,
    int num_rows, float eps) {
    __shared__ Partials partials;
    Place at;
    Loader loader(at, w, x, num_rows);
    uint4 weights[UNITS][TILES][2], rows[UNITS][EIGHTS];
    for (int unit = 0; unit < UNITS; unit++) loader.load_weights(weights[unit], 0, unit);
    allow_successor();
    wait_for_predecessor();
    for (int unit = 0; unit < UNITS; unit++) loader.load_rows(rows[unit], 0, unit);
    Finisher finisher{at, out, num_rows};
    finisher.prefetch();

    Accumulators acc;
    for (int turn = 0; turn < TURNS; turn++)
        for (int unit = 0; unit < UNITS; unit++) {
            acc.add(weights[unit], rows[unit]);
            if (turn + 1 == TURNS) continue;
            loader.load_weights(weights[unit], turn + 1, unit);
            loader.load_rows(rows[unit], turn + 1, unit);
        }

    partials.leave(acc, at);
    if (SPLITS > 1) cluster_arrive(), cluster_wait();
    else __syncthreads();
    if (KIND == ADD) finisher.add_to_stream(partials, squares, weighted, norm);
    else finisher.store(partials, eps);
    if (SPLITS > 1) cluster_arrive(), cluster_wait();  // nobody may leave while others still read it
}
