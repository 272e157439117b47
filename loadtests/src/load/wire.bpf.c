/* The generator's end of a wire, inside the kernel: sends packets of many streams at once, and counts what comes back.
 *
 * Sent by sockets, each packet would interrupt the core that receives it, as no network card does that gathers for some
 * microseconds, and received by sockets it would cost more than to relay it. What is sent in one call of `send` is one
 * interruption. Of what comes, one packet of so many goes on to the sockets, which look how long it took.
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/udp.h>

#define SEC(name) __attribute__((section(name), used))
#define INLINE static inline __attribute__((always_inline))
#define __uint(name, value) int(*name)[value]
#define __type(name, value) typeof(value) *name

static void *(*bpf_map_lookup_elem)(void *map, const void *key) = (void *)1;
static __u64 (*bpf_ktime_get_ns)(void) = (void *)5;
static long (*bpf_skb_store_bytes)(void *skb, __u32 offset, const void *from, __u32 len, __u64 flags) = (void *)9;
static long (*bpf_clone_redirect)(void *skb, __u32 ifindex, __u64 flags) = (void *)13;

#define TC_NEXT (-1)
#define TC_SHOT 2

#define swap16(x) __builtin_bswap16(x)

struct packet {
    struct ethhdr ethernet;
    struct iphdr ip;
    struct udphdr udp;
    __u8 first;
    __u8 second;
    __u16 sequence;
    __u32 timestamp;
    __u32 ssrc;
    __u8 mark[4];
    __u8 direction;
    __u64 sent_at; /* nanoseconds, big endian */
} __attribute__((packed));

/* The next packet of a stream, its sequence number in host order. The layout is that of wire.rs. */
struct stream {
    struct packet packet;
    __u8 pad;
    __u32 sequence;
};

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 32768);
    __type(key, __u32);
    __type(value, struct stream);
} streams SEC(".maps");

/* Counted at the port of their direction, and at another one. */
struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 2);
    __type(key, __u32);
    __type(value, __u64);
} counted SEC(".maps");

/* Set when the programs are loaded: the interface, the ports that callers' packets (direction 0) come to and callees', and
 * this clock minus the generator's. */
const volatile __u32 INTERFACE = 0;
const volatile __u32 PORT_OF_CALLERS = 0;
const volatile __u32 PORT_OF_CALLEES = 0;
const volatile __u32 SEQUENCE_MASK = 0;
const volatile __u64 CLOCK_OFFSET_NS = 0;

#define TOGETHER_MAX 64

/* Run on a packet of the right length with the first stream and how many follow in cb; gives how many were not sent. */
SEC("classifier")
int dialerd_load_send(struct __sk_buff *skb)
{
    __u32 first = skb->cb[0], count = skb->cb[1];
    int lost = 0;
    for (__u32 i = 0; i < TOGETHER_MAX; i++) {
        if (i >= count)
            break;
        __u32 index = first + i;
        struct stream *stream = bpf_map_lookup_elem(&streams, &index);
        if (!stream)
            return lost + 1;
        __u32 sequence = stream->sequence++;
        struct packet *packet = &stream->packet;
        packet->sequence = swap16((__u16)sequence);
        packet->timestamp = __builtin_bswap32(sequence * 160);
        packet->sent_at = __builtin_bswap64(bpf_ktime_get_ns() - CLOCK_OFFSET_NS);
        if (bpf_skb_store_bytes(skb, 0, packet, sizeof(*packet), 0) || bpf_clone_redirect(skb, INTERFACE, 0))
            lost++;
        /* The first of a talk spurt is marked. */
        packet->second = 0;
    }
    return lost;
}

SEC("classifier")
int dialerd_load_sink(struct __sk_buff *skb)
{
    void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
    struct packet *packet = data;
    if ((void *)(packet + 1) > end || packet->ethernet.h_proto != swap16(ETH_P_IP))
        return TC_NEXT;
    if (packet->ip.version != 4 || packet->ip.ihl != 5 || packet->ip.protocol != IPPROTO_UDP)
        return TC_NEXT;
    __u32 port = swap16(packet->udp.dest);
    if (port != PORT_OF_CALLERS && port != PORT_OF_CALLEES)
        return TC_NEXT;
    if (packet->mark[0] != 'L' || packet->mark[1] != 'O' || packet->mark[2] != 'A' || packet->mark[3] != 'D')
        return TC_NEXT;
    if (!(swap16(packet->sequence) & SEQUENCE_MASK))
        return TC_NEXT;
    __u32 wrong = port != (packet->direction ? PORT_OF_CALLEES : PORT_OF_CALLERS);
    __u64 *count = bpf_map_lookup_elem(&counted, &wrong);
    if (count)
        __sync_fetch_and_add(count, 1);
    return TC_SHOT;
}

char _license[] SEC("license") = "Apache-2.0";
