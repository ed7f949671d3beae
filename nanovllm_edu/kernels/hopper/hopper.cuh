// What both kernels in CUDA C++ need and C++ has no name for. `compiler.py` puts it in front of them.

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
