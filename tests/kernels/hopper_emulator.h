// Runs a kernel in CUDA C++ for Hopper on a CPU: what it means, not how fast it is.
//
// Each block is a thread of the system, and each of its threads a coroutine that gives way where it
// waits. Instructions that C++ has no name for are functions here, of the same names as in the kernel's
// source, whose own are left out (`hopper_emulator.py`). What the hardware does later happens at the
// worst time: products when they are waited for, copies either at once or when they are waited for.
// So whoever reads too early, or overwrites too early, gets other numbers.

#include <ucontext.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <thread>
#include <vector>

typedef unsigned int u32;
typedef unsigned long long u64;
typedef long long i64;
typedef unsigned short bf16;
#define __device__
#define __global__
#define __grid_constant__
#define __launch_bounds__(...)
#define __cluster_dims__(...)
#define __shared__ static thread_local
using std::max;
using std::min;

// ---------------------------------------------------------------- blocks, threads, who waits

struct Index { unsigned x, y, z; };
struct Product {
    float* acc;
    const u32* a_registers;  // or a in shared memory
    u64 a, b;
    int columns;
    bool keep;
};
struct Thread {
    Index index;
    ucontext_t context;
    std::vector<char> stack = std::vector<char>(1 << 17);
    bool is_done = false;
    std::deque<std::vector<Product>> products{{}};  // the newest are not committed yet
    long exchanged;
    u32 fragments[6];  // of a and b
};
struct Meeting { int arrived = 0; long round = 0; };
struct Barrier {
    int count, pending;
    long bytes = 0, phase = 0;
    std::vector<std::function<void()>> late;
    void settle() {
        if (pending == 0 && bytes == 0) pending = count, phase++;
    }
};
struct Block {
    std::vector<char> memory;
    char* base;
    std::vector<std::unique_ptr<Thread>> threads;
    Thread* current;
    ucontext_t main;
    std::map<int, Meeting> meetings;
    std::map<u32, Barrier> barriers;
    std::map<const void*, u32> places;  // of shared variables, behind the dynamic memory
    u32 seed = 1;
    long num_switches = 0;
};
static thread_local Block* block;
static thread_local Index blockIdx;
static Index gridDim;
#define threadIdx (block->current->index)

static void give_way() { swapcontext(&block->current->context, &block->main); }

// Waits until `count` threads have met under a number.
static void meet(int number, int count, bool is_waiting = true) {
    Meeting& meeting = block->meetings[number];
    long round = meeting.round;
    if (++meeting.arrived == count) meeting.arrived = 0, meeting.round++;
    while (is_waiting && meeting.round == round) give_way();
}
static void __syncwarp() { meet(1000 + threadIdx.x / 32, 32); }
static void __syncthreads() { meet(0, block->threads.size()); }

static long of_lane(int lane) { return block->threads[threadIdx.x / 32 * 32 + lane]->exchanged; }
template <typename F> static auto exchange(long mine, F read) {
    block->current->exchanged = mine;
    __syncwarp();
    auto result = read();
    __syncwarp();
    return result;
}
static long bits(float x) { int y; memcpy(&y, &x, 4); return y; }
static long bits(int x) { return x; }
template <typename T> static T from_bits(long x) { int y = x; T z; memcpy(&z, &y, 4); return z; }
template <typename T> static T __shfl_sync(u32, T x, int lane) {
    return exchange(bits(x), [=] { return from_bits<T>(of_lane(lane)); });
}
template <typename T> static T __shfl_xor_sync(u32 all, T x, int lanes) {
    return __shfl_sync(all, x, threadIdx.x % 32 ^ lanes);
}
template <typename T> static T __shfl_up_sync(u32 all, T x, int lanes) {
    return __shfl_sync(all, x, max((int)(threadIdx.x % 32) - lanes, 0));
}
static u32 __ballot_sync(u32, bool x) {
    return exchange(x, [] { u32 all = 0; for (int i = 0; i < 32; i++) all |= (u32)of_lane(i) << i; return all; });
}
static int __reduce_add_sync(u32, int x) {
    return exchange(x, [] { int sum = 0; for (int i = 0; i < 32; i++) sum += of_lane(i); return sum; });
}
static int __ffs(u32 x) { return __builtin_ffs(x); }
static float __int_as_float(u32 x) { float y; memcpy(&y, &x, 4); return y; }
static float __uint_as_float(u32 x) { return __int_as_float(x); }
static u32 atomicInc(u32* place, u32 last) {
    u32 old = __atomic_load_n(place, __ATOMIC_SEQ_CST);
    while (!__atomic_compare_exchange_n(place, &old, old >= last ? 0 : old + 1, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) {}
    give_way();
    return old;
}

// ---------------------------------------------------------------- numbers

struct float2 { float x, y; };
struct float4 { float x, y, z, w; };
struct uint2 { u32 x, y; };
struct uint4 { u32 x, y, z, w; };
static float2 make_float2(float x, float y) { return {x, y}; }
static float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }
static uint2 make_uint2(u32 x, u32 y) { return {x, y}; }
static uint4 make_uint4(u32 x, u32 y, u32 z, u32 w) { return {x, y, z, w}; }
static float low_half(u32 pair);
static float high_half(u32 pair);
static float exp2_of(float x) { return exp2f(x); }
static float rsqrtf(float x) { return 1 / sqrtf(x); }
#define __expf(x) expf(x)
#define __fdividef(x, y) ((x) / (y))
static u32 to_bf16(float x) {
    u32 y = bits(x);
    return std::isnan(x) ? 0x7FC0 : (y + 0x7FFF + (y >> 16 & 1)) >> 16;
}
static u32 to_bf16_pair(float low, float high) { return to_bf16(low) | to_bf16(high) << 16; }

// ---------------------------------------------------------------- shared memory and barriers

static long __cvta_generic_to_shared(const void* p) {
    long offset = (const char*)p - block->base;
    if (offset >= 0 && offset < (long)block->memory.size()) return offset;
    auto& places = block->places;
    return places.try_emplace(p, 0x40000000 + 0x10000 * places.size()).first->second;
}
static char* swizzled(u32 address) { return block->base + (address ^ (address >> 7 & 7) << 4); }

static void barrier_init(u32 at, u32 count) { block->barriers[at] = Barrier{(int)count, (int)count}; }
static void barrier_arrive(u32 at) {
    Barrier& barrier = block->barriers.at(at);
    barrier.pending--, barrier.settle();
}
static void barrier_expect(u32 at, u32 bytes) {
    block->barriers.at(at).bytes += bytes;
    barrier_arrive(at);
}
static void barrier_wait(u32 at, u32 parity) {
    Barrier& barrier = block->barriers.at(at);
    for (;; give_way()) {
        auto late = std::move(barrier.late);
        barrier.late.clear();
        for (auto& copy : late) copy();
        if ((barrier.phase - 1 & 1) == parity) return;
    }
}
static void named_wait(int number, int count) { meet(number, count); }
static void named_arrive(int number, int count) { meet(number, count, false); }
static void clear_16_bytes(u32 address) { memset(block->base + address, 0, 16); }
static void show_stores() {}
static void show_barriers() {}
static void give_registers() {}
static void take_registers() {}

// ---------------------------------------------------------------- copies

struct alignas(64) TensorMap { u64 words[16]; };
struct Described { const char* from; i64 sizes[3], strides[2], box[3]; };  // what a map's words hold here

static void copy_box(u32 to, const TensorMap* map, int column, int row, int depth, u32 at) {
    const Described* d = (const Described*)map;
    i64 bytes = d->box[0] * d->box[1] * d->box[2] * 2;
    if (to % 1024 % (8 * 128)) abort();
    auto copy = [=, &barrier = block->barriers.at(at)] {
        u32 place = to;
        for (int z = depth; z < depth + d->box[2]; z++)
            for (int y = row; y < row + d->box[1]; y++)
                for (int x = column; x < column + d->box[0]; x++, place += 2) {
                    bool is_in = x >= 0 && x < d->sizes[0] && y >= 0 && y < d->sizes[1] && z < d->sizes[2];
                    i64 offset = 2 * (x + y * d->strides[0] + z * d->strides[1]);
                    if (is_in) memcpy(swizzled(place), d->from + offset, 2);
                    else memset(swizzled(place), 0, 2);
                }
        barrier.bytes -= bytes, barrier.settle();
    };
    block->seed = block->seed * 1664525 + 1013904223;
    if (block->seed >> 31) copy();
    else block->barriers.at(at).late.push_back(copy);
}
static void copy_box(u32 to, const TensorMap* map, int column, int row, u32 at) {
    copy_box(to, map, column, row, 0, at);
}

// ---------------------------------------------------------------- products

static float bf16_at(u32 address) {
    unsigned short x;
    memcpy(&x, swizzled(address), 2);
    return __uint_as_float((u32)x << 16);
}
static u32 first_byte(u64 descriptor) { return (descriptor & 0x3FFF) << 4; }
static u32 leading_bytes(u64 descriptor) { return (descriptor >> 16 & 0x3FFF) << 4; }
static u32 stride_bytes(u64 descriptor) { return (descriptor >> 32 & 0x3FFF) << 4; }
static u32 row_of(u64 descriptor, int row) {
    return first_byte(descriptor) + row / 8 * stride_bytes(descriptor) + row % 8 * 128;
}

// A thread's part of 64 x columns, of depth 16: the PTX manual's figures of wgmma's fragments.
static void multiply(const Product& op, const std::function<const u32*(int)>& a_of_lane) {
    int lane = threadIdx.x % 32;
    for (int half = 0; half < 2; half++) {
        float a[16];
        for (int k = 0; k < 16; k++) {
            int row = threadIdx.x / 32 % 4 * 16 + lane / 4 + 8 * half;
            if (op.a_registers) {
                u32 pair = a_of_lane(lane / 4 * 4 + k % 8 / 2)[half + k / 8 * 2];
                a[k] = __uint_as_float(k % 2 ? pair & 0xFFFF0000u : pair << 16);
            } else {
                a[k] = bf16_at(row_of(op.a, row) + 2 * k);
            }
        }
        for (int j = 0; j < op.columns / 8; j++)
            for (int i = 0; i < 2; i++) {
                int column = 8 * j + lane % 4 * 2 + i;
                float& sum = op.acc[4 * j + 2 * half + i];
                double total = op.keep ? sum : 0;
                for (int k = 0; k < 16; k++)
                    total += (double)a[k] * bf16_at(op.a_registers  // then b is read transposed
                        ? row_of(op.b, k) + column / 64 * leading_bytes(op.b) + column % 64 * 2
                        : row_of(op.b, column) + 2 * k);
                sum = total;
            }
    }
}
static void begin_products() {}
static void commit_products() { block->current->products.push_back({}); }

template <int LEFT> static void await_products() {
    auto& mine = block->current->products;
    while ((int)mine.size() > LEFT + 1) {
        __syncwarp();
        for (size_t i = 0; i < mine[0].size(); i++)
            multiply(mine[0][i], [&](int lane) {
                return block->threads[threadIdx.x / 32 * 32 + lane]->products[0][i].a_registers;
            });
        __syncwarp();
        mine.pop_front();
    }
}
template <int LEFT, int N> static void settle(float (&)[N]) { await_products<LEFT>(); }
#define WGMMA(acc, a, b, keep) \
    block->current->products.back().push_back({acc, nullptr, a, b, (int)(2 * sizeof(acc) / 4), (bool)(keep)})
#define WGMMA_FROM_REGISTERS(acc, a, i, b) \
    block->current->products.back().push_back({acc, a + (i), 0, b, (int)(2 * sizeof(acc) / 4), true})

// 16 x 16 times 16 x 8, from registers: the PTX manual's figures of mma.m16n8k16.
static void mma(float (&sums)[4], u32 a0, u32 a1, u32 a2, u32 a3, u32 b0, u32 b1) {
    u32 mine[6] = {a0, a1, a2, a3, b0, b1};
    std::copy(mine, mine + 6, block->current->fragments);
    __syncwarp();
    int lane = threadIdx.x % 32;
    auto number = [](int row, int k, int fragment) {  // of a row of a, or a column of b
        u32 pair = block->threads[threadIdx.x / 32 * 32 + row * 4 + k % 8 / 2]->fragments[fragment];
        return k % 2 ? high_half(pair) : low_half(pair);
    };
    for (int i = 0; i < 4; i++)
        for (int k = 0; k < 16; k++)
            sums[i] += number(lane / 4, k, i / 2 + k / 8 * 2) * number(lane % 4 * 2 + i % 2, k, 4 + k / 8);
    __syncwarp();
}

// ---------------------------------------------------------------- a cluster of one block

static void only_me(u32 other) { if (other != 0) abort(); }
static void cluster_arrive() {}
static void cluster_wait() { __syncthreads(); }
static void cluster_meet() { __syncthreads(); }
static void barrier_arrive_in(u32 at, u32 other) { only_me(other), barrier_arrive(at); }
static void copy_tile(u32 to, const TensorMap* map, int column, int row, u32 at, u32 blocks) {
    only_me(blocks - 1), copy_box(to, map, column, row, at);
}
static float load_from(const float* place, u32 other) { return only_me(other), *place; }
static uint4 load_once(const bf16* p, bool is_there) {
    uint4 v = {};
    if (is_there) memcpy(&v, p, 16);
    return v;
}
static uint4 load_shared_by_all(const bf16* p, bool is_there) { return load_once(p, is_there); }
static void prefetch_map(const TensorMap*) {}
static void fetch_to_l2(const TensorMap*, int, int) {}
static void allow_successor() {}
static void wait_for_predecessor() {}
static float4 load_from(u32 address, u32 other) {
    float4 v;
    only_me(other), memcpy(&v, block->base + address, 16);
    return v;
}

// ---------------------------------------------------------------- a launch

static std::function<void()> kernel;
static void enter() {
    kernel();
    block->current->is_done = true;
    give_way();
}

// Runs a block to its end. Returns false if all of its threads wait for ever.
static bool run_block(Index index, int num_threads, int shared_bytes) {
    Block mine;
    block = &mine, blockIdx = index, mine.seed = index.x + 1;
    mine.memory.assign(shared_bytes + 1024, (char)0xFF);  // no numbers
    mine.base = mine.memory.data();
    for (int i = 0; i < num_threads; i++) {
        auto thread = std::make_unique<Thread>();
        thread->index.x = i;
        getcontext(&thread->context);
        thread->context.uc_stack.ss_sp = thread->stack.data();
        thread->context.uc_stack.ss_size = thread->stack.size();
        makecontext(&thread->context, enter, 0);
        mine.threads.push_back(std::move(thread));
    }
    for (long turn = 0; turn < 200000; turn++) {
        bool is_done = true;
        for (auto& thread : mine.threads)
            if (!thread->is_done) {
                is_done = false;
                mine.current = thread.get();
                swapcontext(&mine.main, &thread->context);
            }
        if (is_done) return true;
    }
    return false;
}

static bool run_grid(Index size, int num_threads, int shared_bytes) {
    gridDim = size;
    std::atomic<bool> is_good{true};
    std::vector<std::thread> blocks;
    for (unsigned y = 0; y < size.y; y++)
        for (unsigned x = 0; x < size.x; x++)
            blocks.emplace_back([&, x, y] {
                if (!run_block({x, y, 0}, num_threads, shared_bytes)) is_good = false;
            });
    for (auto& one : blocks) one.join();
    return is_good;
}
