// Attention of many query tokens over the paged cache, out of the parts that Hopper has for it.
//
//     q [T, H, D]    cache [blocks, B, KH, D] of keys and of values    out [T, H, D]
//
// It does what `triton/paged_prefill.py` does, whose text says what a tile of queries is; here is how.
// One warp, the producer, has tiles copied into shared memory; GROUPS groups of four warps, the
// consumers, own 64 rows of the queries each (a row: one head of one token) and walk the keys from the
// newest to the oldest, so that only the first tiles need a mask:
//
//     producer     q | k v | k v | k v ...     into a ring of PLACES tiles of BN keys or values
//     consumer     S = q k^T     softmax     O += P v     S = q k^T ...
//
// The matrix units must never wait for the softmax, whose exponentials take half as long as the
// products. Two things see to that:
//
// - Within a group: the products of the next keys are begun before those of the last values, and the
//   softmax of the next scores runs beside the latter. P stays in registers.
// - Between groups: they take turns in beginning products, so one computes its softmax while the
//   other one's products run.
//
// Blocks stay: there are as many as multiprocessors, and each takes one tile of queries after the
// other from a counter. The next queries and keys are on their way while the last rows are written. A
// tile of a few keys and one of many may meet, and the counter keeps all blocks busy to the end.
// Which block does a tile changes no bit of it.
//
// Constants in capitals, and the two matrix instructions, come from `prefill.py`; what several kernels
// use is in `hopper.cuh`. Needs compute capability 9.0. Source: FlashAttention-3 (Shah et al., 2024).

constexpr int BM = 64 * GROUPS;     // rows of a tile of queries
constexpr int BN = 128;             // keys of a tile
constexpr int TOKENS = BM / HEADS;  // whose HEADS heads are a tile's rows; a few may be nobody's
constexpr int HALVES = D / 64;      // tiles lie in shared memory in columns of 64: 128 bytes
constexpr int BOXES = BN / BOX;     // pieces of a tile, each of one block of the cache
constexpr int THREADS = 128 * (GROUPS + 1);  // the producer's warp, and three that go home
constexpr int TILE_BYTES = BN * D * 2, QUERY_BYTES = BM * D * 2, JOBS = 2;
constexpr int HEAD_GROUPS = H / HEADS;
constexpr u32 ALL = 0xFFFFFFFFu;
constexpr float LOWEST = -1e30f;  // finite: minus infinity less itself is not a number
static_assert(BOXES * HALVES <= 32 && B % BOX == 0 && BN % BOX == 0);

// ---------------------------------------------------------------- what has no name in C++

__device__ void copy_box(u32 to, const TensorMap* map, int column, int row, u32 barrier) {
    asm volatile(
        "cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes"
        " [%0], [%1, {%2, %3}], [%4];"
        ::"r"(to), "l"(map), "r"(column), "r"(row), "r"(barrier) : "memory");
}

__device__ void copy_box(u32 to, const TensorMap* map, int column, int head, int token, u32 barrier) {
    asm volatile(
        "cp.async.bulk.tensor.3d.shared::cluster.global.mbarrier::complete_tx::bytes"
        " [%0], [%1, {%2, %3, %4}], [%5];"
        ::"r"(to), "l"(map), "r"(column), "r"(head), "r"(token), "r"(barrier) : "memory");
}

// Products are begun, and later waited for. The compiler knows nothing of that: `settle` says
// to it that the numbers have changed, so that it reads none of them earlier.
__device__ void begin_products() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }
__device__ void commit_products() { asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory"); }

template <int LEFT, int N> __device__ void settle(float (&x)[N]) {
    asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(LEFT) : "memory");
    for (int i = 0; i < N; i++) asm volatile("" : "+f"(x[i])::"memory");
}

__device__ void named_wait(int barrier, int threads) {
    asm volatile("bar.sync %0, %1;" ::"r"(barrier), "r"(threads) : "memory");
}
__device__ void named_arrive(int barrier, int threads) {
    asm volatile("bar.arrive %0, %1;" ::"r"(barrier), "r"(threads) : "memory");
}

// What ordinary stores have written, for the matrix units to read.
__device__ void clear_16_bytes(u32 address) {
    asm volatile("st.shared.v4.u32 [%0], {%1, %1, %1, %1};" ::"r"(address), "r"(0) : "memory");
}
__device__ void show_stores() { asm volatile("fence.proxy.async.shared::cta;" ::: "memory"); }
__device__ void show_barriers() { asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory"); }

// The producer needs few registers, and leaves its share to the consumers.
__device__ void give_registers() {
    asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(PRODUCER_REGISTERS));
}
__device__ void take_registers() {
    asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(CONSUMER_REGISTERS));
}

// ---------------------------------------------------------------- places that are filled in turn

// Both sides count the same way; each has its own copy.
template <int COUNT> struct Ring {
    u32 memory, bytes, full, empty;
    int place = 0;
    u32 round = 0;

    __device__ Ring(u32 memory_, u32 bytes_, u64* barriers) : memory(memory_), bytes(bytes_) {
        full = shared_address(barriers), empty = full + 8 * COUNT;
    }
    __device__ void init() const {
        for (int i = 0; i < COUNT; i++) {
            barrier_init(full + 8 * i, 1);
            barrier_init(empty + 8 * i, 4 * GROUPS);  // each warp says when it is done
        }
    }
    __device__ u32 at(int place) const { return memory + place * bytes; }

    __device__ int advance() {
        int before = place++;
        if (place == COUNT) place = 0, round ^= 1;
        return before;
    }
    __device__ int to_fill() {
        barrier_wait(empty + 8 * place, round ^ 1);
        return advance();
    }
    __device__ int take() {
        barrier_wait(full + 8 * place, round);
        return advance();
    }
    __device__ void release(int taken) const {
        if (threadIdx.x % 32 == 0) barrier_arrive(empty + 8 * taken);
    }
};

// ---------------------------------------------------------------- which queries a tile holds

struct Job {
    int token, num_tokens;       // the first row's, of all tokens of the step; and how many are left
    int first_position;          // of that token in its sequence
    int num_keys, context_len;   // that the last token sees; that there are
    int sequence, head;          // the first of HEADS heads; no more jobs if it is negative

    __device__ int num_tiles() const { return (max(num_keys, 0) + BN - 1) / BN; }
};

// All lanes of the producer's warp look for a job together, 32 sequences at a time.
struct Jobs {
    const int *starts, *context_lens;
    int num_sequences, num_tiles;

    __device__ int tiles_of(int sequence) const {
        if (sequence >= num_sequences) return 0;
        return (starts[sequence + 1] - starts[sequence] + TOKENS - 1) / TOKENS;
    }
    __device__ Jobs(const int* starts_, const int* lens, int count)
        : starts(starts_), context_lens(lens), num_sequences(count), num_tiles(0) {
        for (int i = threadIdx.x % 32; i < count; i += 32) num_tiles += tiles_of(i);
        num_tiles = __reduce_add_sync(ALL, num_tiles);
    }
    __device__ int count() const { return num_tiles * HEAD_GROUPS; }

    // One group of heads after the other, whose keys stay in L2; the tiles that see most keys first.
    __device__ Job find(int index) const {
        int number = num_tiles - 1 - index % num_tiles, lane = threadIdx.x % 32, before = 0;
        for (int first = 0;; first += 32) {
            int upto = tiles_of(first + lane);
            for (int d = 1; d < 32; d *= 2) {
                int left = __shfl_up_sync(ALL, upto, d);
                if (lane >= d) upto += left;
            }
            u32 later = __ballot_sync(ALL, before + upto > number);
            if (later) {
                int found = __ffs(later) - 1, previous = __shfl_sync(ALL, upto, max(found - 1, 0));
                if (found > 0) before += previous;
                return make(first + found, (number - before) * TOKENS, index / num_tiles * HEADS);
            }
            before += __shfl_sync(ALL, upto, 31);
        }
    }

    __device__ Job make(int sequence, int first, int head) const {
        int start = starts[sequence], length = starts[sequence + 1] - start;
        int context = context_lens[sequence], position = context - length + first;
        int keys = min(position + TOKENS, context);
        return {start + first, length - first, position, context > 0 ? keys : 0, context, sequence, head};
    }
};

// ---------------------------------------------------------------- producer

struct Producer {
    const TensorMap *q, *keys, *values;
    const int* tables;
    int table_stride;
    Ring<JOBS> jobs;
    Ring<PLACES> tiles;
    Job* board;  // beside each place for queries: whose they are
    int lane = threadIdx.x % 32;

    // A lane copies a box: so many keys of one block, 64 columns.
    __device__ int box() const { return lane / HALVES; }
    __device__ int half() const { return lane % HALVES; }

    __device__ int row_of(const Job& job, int tile) const {  // of the cache, of this lane's box
        int token = tile * BN + box() * BOX;
        int block = tables[job.sequence * table_stride + min(token, job.context_len - 1) / B];
        return block * B + token % B;
    }

    __device__ void copy(const TensorMap* map, int head, int row) {
        int place = tiles.to_fill();
        u32 full = tiles.full + 8 * place;
        if (lane == 0) barrier_expect(full, TILE_BYTES);
        __syncwarp();
        if (lane < BOXES * HALVES)
            copy_box(tiles.at(place) + (half() * BN + box() * BOX) * 128, map, head * D + half() * 64, row, full);
    }

    __device__ void announce(const Job& job) {
        int place = jobs.to_fill();
        u32 full = jobs.full + 8 * place;
        if (lane == 0) {
            board[place] = job;
            if (job.head < 0) barrier_arrive(full);
            else barrier_expect(full, HALVES * TOKENS * HEADS * 128);
        }
        __syncwarp();
        if (job.head >= 0 && lane < HALVES)
            copy_box(jobs.at(place) + lane * BM * 128, q, lane * 64, job.head, job.token, full);
    }

    __device__ void run(const Jobs& all, u32* counter) {
        for (int index = blockIdx.x; index < all.count();) {
            Job job = all.find(index);
            announce(job);
            int kv_head = job.head / (H / KH);
            for (int tile = job.num_tiles() - 1; tile >= 0; tile--) {
                int row = row_of(job, tile);
                copy(keys, kv_head, row);
                copy(values, kv_head, row);
            }
            // The counter is 0 again when each block has asked once in vain.
            if (lane == 0) index = gridDim.x + atomicInc(counter, all.count() - 1);
            index = __shfl_sync(ALL, index, 0);
        }
        announce({0, 0, 0, 0, 0, 0, -1});
    }
};

// ---------------------------------------------------------------- consumers

// A thread holds columns 8 j + 2 (lane % 4) + {0, 1} of two rows, 8 apart: numbers 4 j + {0, 1} of the
// first row and 4 j + {2, 3} of the second.
typedef float Scores[BN / 2];
typedef float Output[D / 2];
typedef u32 Weights[BN / 4];  // two in one register, as the matrix units read them

struct Consumer {
    int group = threadIdx.x / 128, lane = threadIdx.x % 32;
    float scale;
    Scores s;
    Weights p;
    Output o;
    float highest[2], total[2], correction[2];

    __device__ int row(int half) const { return threadIdx.x / 32 * 16 + lane / 4 + 8 * half; }

    // Groups begin products in turn.
    __device__ void await_turn() const {
        if (TAKE_TURNS) named_wait(1 + group, 256);
    }
    __device__ void pass_turn() const {
        if (TAKE_TURNS) named_arrive(1 + (group + 1) % GROUPS, 256);
    }

    __device__ void begin_scores(u32 q, u32 k) {
        begin_products();
        for (int step = 0; step < D / 16; step++) {
            int half = step / 4, column = step % 4 * 2;  // 16 columns are 32 bytes: 2 of a descriptor
            u64 a = matrix_descriptor(q + (half * BM + group * 64) * 128) + column;
            u64 b = matrix_descriptor(k + half * BN * 128) + column;
            WGMMA(s, a, b, step > 0);
        }
        commit_products();
    }

    __device__ void begin_output(u32 v) {
        begin_products();
        for (int step = 0; step < BN / 16; step++)
            WGMMA_FROM_REGISTERS(o, p, 4 * step, matrix_descriptor(v, BN * 128) + step * 128);
        commit_products();
    }

    // Hides keys that come after a row's token.
    __device__ void mask(const Job& job, int tile) {
        for (int half = 0; half < 2; half++) {
            int left = job.first_position + row(half) / HEADS - tile * BN - lane % 4 * 2;
            for (int i = 0; i < BN / 4; i++) {
                int column = i / 2 * 8 + i % 2;
                float& score = s[i / 2 * 4 + 2 * half + i % 2];
                if (column > left) score = __int_as_float(0xFF800000);  // minus infinity
            }
        }
    }

    // Turns scores into weights; `correction` is what the earlier ones are still to be multiplied by.
    __device__ void softmax() {
        for (int half = 0; half < 2; half++) {
            float higher = highest[half];
            for (int i = 0; i < BN / 4; i++) higher = fmaxf(higher, s[i / 2 * 4 + 2 * half + i % 2]);
            higher = fmaxf(higher, __shfl_xor_sync(ALL, higher, 1));
            higher = fmaxf(higher, __shfl_xor_sync(ALL, higher, 2));
            correction[half] = exp2_of((highest[half] - higher) * scale);
            highest[half] = higher, total[half] *= correction[half];
            for (int i = 0; i < BN / 4; i++) {
                float& x = s[i / 2 * 4 + 2 * half + i % 2];
                x = exp2_of(x * scale - higher * scale);
                total[half] += x;
            }
        }
    }

    __device__ void correct_output() {
        for (int i = 0; i < D / 2; i++) o[i] *= correction[i / 2 % 2];
    }
    __device__ void pack() {
        for (int i = 0; i < BN / 4; i++) p[i] = to_bf16_pair(s[2 * i], s[2 * i + 1]);
    }

    // Values behind the context are somebody else's, and 0 times what is there may be no number.
    __device__ void clear_values(u32 v, int first) const {
        for (int i = threadIdx.x % 128; i < (BN - first) * 8 * HALVES; i += 128)
            clear_16_bytes(v + i % HALVES * BN * 128 + first * 128 + i / HALVES * 16);
        show_stores();
        named_wait(1 + GROUPS + group, 128);
    }

    __device__ void attend(const Job& job, u32 q, Ring<PLACES>& tiles) {
        int tile = job.num_tiles() - 1, lowest = job.first_position + group * 64 / HEADS;
        int k = tiles.take();
        begin_scores(q, tiles.at(k));
        settle<0>(s);
        tiles.release(k);
        int v = tiles.take();
        if (tile * BN + BN > job.context_len) clear_values(tiles.at(v), job.context_len - tile * BN);
        mask(job, tile);
        softmax();
        pack();
        for (tile--; tile >= 0; tile--) {
            k = tiles.take();
            await_turn();
            begin_scores(q, tiles.at(k));
            begin_output(tiles.at(v));
            pass_turn();
            settle<1>(s);
            tiles.release(k);
            if (tile * BN + BN > lowest + 1) mask(job, tile);
            softmax();
            // Never so. But without it the compiler waits for the output first, and computes later.
            if (total[0] + total[1] < 0) break;
            settle<0>(o);
            tiles.release(v);
            correct_output();
            pack();
            v = tiles.take();
        }
        begin_output(tiles.at(v));
        settle<0>(o);
        tiles.release(v);
    }

    __device__ void store(const Job& job, bf16* out) {
        for (int half = 0; half < 2; half++) {
            total[half] += __shfl_xor_sync(ALL, total[half], 1);
            total[half] += __shfl_xor_sync(ALL, total[half], 2);
            float factor = total[half] > 0 ? 1 / total[half] : 0;  // padding has seen nothing
            int token = row(half) / HEADS, head = job.head + row(half) % HEADS;
            if (token >= min(job.num_tokens, TOKENS)) continue;
            bf16* to = out + ((i64)(job.token + token) * H + head) * D + lane % 4 * 2;
            for (int j = 0; j < D / 8; j++)
                *(u32*)(to + 8 * j) = to_bf16_pair(o[4 * j + 2 * half] * factor, o[4 * j + 2 * half + 1] * factor);
        }
    }

    __device__ void run(Ring<JOBS> jobs, const Job* board, Ring<PLACES> tiles, bf16* out) {
        if (group == GROUPS - 1) pass_turn();  // the first group's
        for (;;) {
            int place = jobs.take();
            Job job = board[place];
            if (job.head < 0) return;
            for (float& x : o) x = 0;
            for (int half = 0; half < 2; half++) highest[half] = LOWEST, total[half] = 0;
            if (job.num_tiles() > 0) attend(job, jobs.at(place), tiles);
            jobs.release(place);
            store(job, out);
        }
    }
};

// ---------------------------------------------------------------- the kernel

extern "C" __global__ void __launch_bounds__(THREADS, 1)
hopper_prefill(
    const __grid_constant__ TensorMap q_map, const __grid_constant__ TensorMap key_map,
    const __grid_constant__ TensorMap value_map, bf16* out, const int* tables, const int* starts,
    const int* context_lens, u32* counter, int table_stride, int num_sequences, float scale) {
    extern __shared__ __align__(1024) char memory[];
    __shared__ u64 of_jobs[2 * JOBS], of_tiles[2 * PLACES];
    __shared__ Job board[JOBS];
    Ring<JOBS> jobs(shared_address(memory), QUERY_BYTES, of_jobs);
    Ring<PLACES> tiles(shared_address(memory) + JOBS * QUERY_BYTES, TILE_BYTES, of_tiles);
    if (threadIdx.x == 0) {
        jobs.init(), tiles.init();
        show_barriers();
    }
    __syncthreads();
    if (threadIdx.x >= 128 * GROUPS) {
        give_registers();
        if (threadIdx.x >= 128 * GROUPS + 32) return;
        Producer producer{&q_map, &key_map, &value_map, tables, table_stride, jobs, tiles, board};
        producer.run(Jobs(starts, context_lens, num_sequences), counter);
    } else {
        take_registers();
        Consumer consumer;
        consumer.scale = scale;
        consumer.run(jobs, board, tiles, out);
    }
}
