// What several kernels in CUDA C++ need and C++ has no name for. `compiler.py` puts it in front of them.

typedef unsigned int u32;
typedef unsigned long long u64;
typedef long long i64;
typedef unsigned short bf16;  // its bits

// Programmatic launch: `launch.py`.
__device__ void allow_successor() { asm volatile("griddepcontrol.launch_dependents;"); }
__device__ void wait_for_predecessor() { asm volatile("griddepcontrol.wait;" ::: "memory"); }

// All threads of a cluster of blocks; who has waited sees what the others wrote before they arrived.
__device__ void cluster_arrive() { asm volatile("barrier.cluster.arrive.aligned;" ::: "memory"); }
__device__ void cluster_wait() { asm volatile("barrier.cluster.wait.aligned;" ::: "memory"); }

__device__ u32 shared_address(const void* p) { return (u32)__cvta_generic_to_shared(p); }

__device__ u32 address_in(u32 address, u32 block) {  // the same place in another block of the cluster
    u32 remote;
    asm("mapa.shared::cluster.u32 %0, %1, %2;" : "=r"(remote) : "r"(address), "r"(block));
    return remote;
}

__device__ float low_half(u32 pair) { return __uint_as_float(pair << 16); }
__device__ float high_half(u32 pair) { return __uint_as_float(pair & 0xFFFF0000u); }

__device__ u32 to_bf16_pair(float low, float high) {
    u32 pair;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
    return pair;
}

__device__ float exp2_of(float x) {
    float y;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}

// A matrix as the copy engine sees it: its address and shape, and the box that one copy moves.
struct alignas(64) TensorMap { u64 words[16]; };

// Barriers in shared memory, for copies that say themselves when they have arrived.
__device__ void barrier_init(u32 barrier, u32 count) {
    asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(barrier), "r"(count) : "memory");
}

__device__ void barrier_expect(u32 barrier, u32 bytes) {
    asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;"
                 ::"r"(barrier), "r"(bytes) : "memory");
}

__device__ void barrier_arrive(u32 barrier) {
    asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(barrier) : "memory");
}

__device__ void barrier_wait(u32 barrier, u32 parity) {
    asm volatile(
        "{\n.reg .pred done;\n"
        "again: mbarrier.try_wait.parity.shared::cta.b64 done, [%0], %1;\n"
        "@!done bra again;\n}"
        ::"r"(barrier), "r"(parity) : "memory");
}

// A matrix for wgmma: rows of 128 bytes, swizzled, 8 rows per 1024 bytes. If it is read transposed,
// `next` says how many bytes after its first 64 columns the next 64 are.
__device__ u64 matrix_descriptor(u32 address, u32 next = 16) {
    return (u64)((address & 0x3FFFF) >> 4) | ((u64)(next >> 4) << 16) | (64ull << 32) | (1ull << 62);
}
