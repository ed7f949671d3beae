// The sum of what several GPUs have made a part of each, added to the residual stream: one kernel.
//
//     part [M, COLUMNS] on each rank   ->   residual += their sum, and its squares; on all ranks
//
// A library's all-reduce is made for large tensors: it cuts them, sends pieces around, and takes
// 25 to 30 microseconds for half a megabyte. Here every rank reads every part in one go, over NVLink:
//
//     rank 0   ... makes part 0 | says so | waits for the others | reads parts 0, 1, ... adds them
//     rank 1   ... makes part 1 | says so | waits for the others | reads parts 0, 1, ... adds them
//
// All of them add in the order of the ranks, so all get the same bits, and draw the same tokens.
//
// "Says so" is a flag in the other's memory: one per rank and block, which counts up. So nothing has
// to be set back, and a CUDA graph can hold the kernel. A part may be overwritten by the sum after
// the next one, not before: who has passed the next sum's flags knows that all others have ended
// this one. Neighbouring sums of a step use different slots (`peer_sum.py`).
//
// A rank that never comes is waited for as long as `patience` says; then the kernel traps, and the
// process ends with an error.
//
// The constants in capitals come from `peer_sum.py`, where the reference is. Source: one-shot
// all-reduces as in TensorRT-LLM and vLLM; PTX manual, memory consistency model.

struct Addresses { u64 of[RANKS]; };

// What a rank's memory begins with. Only `flags` is written by others.
struct Header {
    u32 flags[RANKS][BLOCKS];
    u32 counts[BLOCKS];  // of the sums that a block has taken part in
    u64 patience;        // nanoseconds
    u64 spent;           // nanoseconds in sums, so far
};

__device__ void say(u32* flag, u32 count) {
    asm volatile("st.release.sys.global.u32 [%0], %1;" ::"l"(flag), "r"(count) : "memory");
}

__device__ u32 hear(const u32* flag) {
    u32 count;
    asm volatile("ld.acquire.sys.global.u32 %0, [%1];" : "=r"(count) : "l"(flag) : "memory");
    return count;
}

__device__ uint4 read(const uint4* from) {  // not through the L1 cache, which others cannot clear
    uint4 v;
    asm volatile("ld.relaxed.sys.global.v4.u32 {%0, %1, %2, %3}, [%4];"
                 : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w) : "l"(from) : "memory");
    return v;
}

__device__ u64 nanoseconds() {
    u64 now;
    asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(now));
    return now;
}

// Returns when this block's parts are ready on all ranks.
__device__ void meet(const Addresses& memories, u64 begin) {
    Header* mine = (Header*)memories.of[RANK];
    u32 count = mine->counts[blockIdx.x] + 1;
    __syncthreads();  // all have read it
    if (threadIdx.x < RANKS) {
        Header* theirs = (Header*)memories.of[threadIdx.x];
        say(&theirs->flags[RANK][blockIdx.x], count);
        // Not "equal": who is quick may have come to the next sum.
        while ((int)(hear(&mine->flags[threadIdx.x][blockIdx.x]) - count) < 0)
            if (nanoseconds() - begin > mine->patience) asm volatile("trap;");
    }
    __syncthreads();
    if (threadIdx.x == 0) mine->counts[blockIdx.x] = count;
}

__device__ void add(float (&sum)[8], uint4 v) {
    u32 pairs[4] = {v.x, v.y, v.z, v.w};
    for (int i = 0; i < 4; i++) sum[2 * i] += low_half(pairs[i]), sum[2 * i + 1] += high_half(pairs[i]);
}

__device__ uint4 rounded(const float (&v)[8]) {
    return make_uint4(to_bf16_pair(v[0], v[1]), to_bf16_pair(v[2], v[3]),
                      to_bf16_pair(v[4], v[5]), to_bf16_pair(v[6], v[7]));
}

// Of eight numbers and their neighbours', until SQUARES sums are left of a row.
__device__ void leave_squares(const float (&v)[8], float* squares, u64 i, bool is_mine) {
    constexpr int LANES = COLUMNS / (SQUARES ? SQUARES : 1) / 8;
    float sum = 0;
    for (float x : v) sum += x * x;
    for (int lanes = 1; lanes < LANES; lanes *= 2) sum += __shfl_xor_sync(~0u, sum, lanes);
    if (is_mine && i % LANES == 0) squares[i / LANES] = sum;
}

extern "C" __global__ void __launch_bounds__(THREADS)
hopper_peer_sum(
    const Addresses memories, u64 slot, bf16* residual, float* squares, bf16* weighted,
    const bf16* norm, u64 num_eights) {
    allow_successor();  // it fetches its weights while this one waits for the others
    wait_for_predecessor();
    u64 begin = nanoseconds();
    meet(memories, begin);
    for (u64 first = blockIdx.x * THREADS; first < num_eights; first += gridDim.x * THREADS) {
        u64 i = first + threadIdx.x;
        bool is_mine = i < num_eights;
        u64 at = is_mine ? i : 0;
        uint4 parts[RANKS];
        for (int rank = 0; rank < RANKS; rank++)
            parts[rank] = read((const uint4*)(memories.of[rank] + slot) + at);
        float sum[8] = {};
        for (uint4 part : parts) add(sum, part);
        if (ADDS) add(sum, ((const uint4*)residual)[at]);
        uint4 stored = rounded(sum);
        if (is_mine) ((uint4*)residual)[i] = stored;
        float seen[8] = {};  // the norm must see what the residual stores
        add(seen, stored);
        if (SQUARES) leave_squares(seen, squares, i, is_mine);
        if (!HAS_NORM) continue;
        float scale[8] = {};
        add(scale, ((const uint4*)norm)[at % (COLUMNS / 8)]);
        for (int j = 0; j < 8; j++) seen[j] *= scale[j];
        if (is_mine) ((uint4*)weighted)[i] = rounded(seen);
    }
    if (blockIdx.x + threadIdx.x == 0) ((Header*)memories.of[RANK])->spent += nanoseconds() - begin;
}
