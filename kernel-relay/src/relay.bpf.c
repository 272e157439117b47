/* Relays established plain RTP streams inside the kernel. Runs at the ingress of the interfaces that carry media
 * (TC, direct action), and touches only what a rule says word for word: source address and port, local port, payload
 * type, SSRC, the next sequence numbers. All else is left to the sockets, which stay bound.
 *
 * One program, with maps of its own, per shard. The rule of a stream lies at its port's place in `rules`, what was
 * counted at the same place in `counts`. The layouts are those of layout.rs.
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/udp.h>

#define SEC(name) __attribute__((section(name), used))
#define INLINE static inline __attribute__((always_inline))
#define __uint(name, value) int(*name)[value]
#define __type(name, value) typeof(value) *name

static void *(*bpf_map_lookup_elem)(void *map, const void *key) = (void *)1;
static __u64 (*bpf_ktime_get_ns)(void) = (void *)5;
static long (*bpf_l4_csum_replace)(void *skb, __u32 offset, __u64 from, __u64 to, __u64 flags) = (void *)11;
static long (*bpf_skb_load_bytes)(const void *skb, __u32 offset, void *to, __u32 len) = (void *)26;
static __s64 (*bpf_csum_diff)(void *from, __u32 from_size, void *to, __u32 to_size, __u32 seed) = (void *)28;
static void *(*bpf_ringbuf_reserve)(void *ring, __u64 size, __u64 flags) = (void *)131;
static void (*bpf_ringbuf_submit)(void *data, __u64 flags) = (void *)132;
static void (*bpf_ringbuf_discard)(void *data, __u64 flags) = (void *)133;
static __u64 (*bpf_ringbuf_query)(void *ring, __u64 what) = (void *)134;
static long (*bpf_redirect_neigh)(__u32 ifindex, void *neigh, int length, __u64 flags) = (void *)152;

#define TC_NEXT (-1) /* TCX_NEXT, TC_ACT_UNSPEC: whoever comes next decides, in the end the sockets */
#define TC_OK 0

#define swap16(x) __builtin_bswap16(x)
#define swap32(x) __builtin_bswap32(x)
#define barrier() asm volatile("" ::: "memory")

#define AF_INET 2
#define AF_INET6 10

/* Payload lengths that are relayed: 10 to 120 ms of one byte per sample. */
#define PAYLOAD_MIN 80
#define PAYLOAD_MAX 960
#define RTP_HEADER 12
/* As in the plane: what is further ahead is a restart (RFC 3550 A.1), what leaps further a restart of its clock. */
#define DROPOUT_MAX 3000
#define LEAP_BACK_MAX 8000
#define LEAP_AHEAD_MAX 240000
/* Every so many packets one is looked at for sound, and in it every so many samples: as in the plane, a number that shares no
 * factor with the rate, or all that is looked at of a tone may be its zeros. */
#define SOUND_PACKETS 4
#define SOUND_STRIDE 7

struct rule {
    __u64 stream;
    __u32 generation; /* odd while the rule is in force */
    __u32 flags;
    __u32 source[4]; /* network order, as on the wire; IPv4 in the first */
    __u32 local[4];
    __u32 out_source[4];
    __u32 out_destination[4];
    __u32 next_hop[4];
    __u16 source_port;
    __u16 out_source_port;
    __u16 out_destination_port;
    __u16 sequence_delta; /* host order from here on */
    __u32 ssrc;
    __u32 out_ssrc;
    __u32 timestamp_delta;
    __u32 egress; /* interface; 0: this machine itself */
    __u8 family;
    __u8 next_hop_family;
    __u8 payload_type;
    __u8 out_payload_type;
    __u8 sound_mask; /* exclusive or that makes a sample's low seven bits its magnitude */
    __u8 sound_min;  /* magnitude of sound */
    __u8 pad[2];
};

#define ANY_LOCAL 1 /* the sockets are bound to every address */
#define TAP 2       /* someone listens: copy every packet */

struct counts {
    __u64 packets;
    __u64 bytes;  /* UDP payload */
    __u64 octets; /* RTP payload */
    __u64 last_ns;
    __u64 sound_ns; /* 0: never */
    __u32 highest;  /* sequence number with its cycles */
    __u32 transit;  /* timestamp units */
    __u32 jitter;   /* timestamp units times 16 */
    __u32 timestamp;
    __u32 samples;
    __u32 taps_full;
};

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct rule);
} rules SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct counts);
} counts SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_RINGBUF);
    __uint(max_entries, 4096);
} taps SEC(".maps");

/* Set when the program is loaded. */
const volatile __u32 PORT_FIRST = 0;
const volatile __u32 PORT_LAST = 0;
const volatile __u32 LOOPBACK = 1;
const volatile __u32 RING_BYTES = 4096;
const volatile __u64 CLOCK_OFFSET_NS = 0; /* this clock minus the daemon's */

/* Written by the daemon now and then: when it has stopped doing so, nothing is relayed here. */
volatile __u64 alive_until_ns = 0;

#define TAP_SMALL 240
struct tap_small {
    __u64 stream;
    __u64 at_ns;
    __u32 length;
    __u32 pad;
    __u8 packet[TAP_SMALL];
};
struct tap_large {
    __u64 stream;
    __u64 at_ns;
    __u32 length;
    __u32 pad;
    __u8 packet[1000];
};

struct rtp {
    __u8 first;
    __u8 second;
    __u16 sequence;
    __u32 timestamp;
    __u32 ssrc;
};

struct neighbour {
    __u32 family;
    __u32 address[4];
};

/* Wakes the reader only when much has gathered: it comes by itself every few milliseconds while there are taps. */
INLINE __u64 wakes(void)
{
    return bpf_ringbuf_query(&taps, 0) > RING_BYTES / 2 ? 2 /* BPF_RB_FORCE_WAKEUP */ : 1 /* BPF_RB_NO_WAKEUP */;
}

INLINE int tap(struct __sk_buff *skb, __u64 stream, __u64 now, __u32 offset, __u32 length)
{
    if (length <= TAP_SMALL) {
        struct tap_small *to = bpf_ringbuf_reserve(&taps, sizeof(*to), 0);
        if (!to)
            return 0;
        if (length < 1 || bpf_skb_load_bytes(skb, offset, to->packet, length)) {
            bpf_ringbuf_discard(to, 1);
            return 0;
        }
        to->stream = stream;
        to->at_ns = now;
        to->length = length;
        bpf_ringbuf_submit(to, wakes());
        return 1;
    }
    struct tap_large *to = bpf_ringbuf_reserve(&taps, sizeof(*to), 0);
    if (!to)
        return 0;
    if (length > sizeof(to->packet) || bpf_skb_load_bytes(skb, offset, to->packet, length)) {
        bpf_ringbuf_discard(to, 1);
        return 0;
    }
    to->stream = stream;
    to->at_ns = now;
    to->length = length;
    bpf_ringbuf_submit(to, wakes());
    return 1;
}

/* True when one of the first samples (80 are there) is louder than silence. */
INLINE int sounds(const __u8 *payload, __u8 mask, __u8 min)
{
    int heard = 0;
#pragma unroll
    for (int i = 0; i < PAYLOAD_MIN; i += SOUND_STRIDE)
        heard |= ((payload[i] ^ mask) & 0x7f) >= min;
    return heard;
}

struct place {
    __u32 udp; /* where the UDP header begins */
    __u32 family;
};

INLINE int relay(struct __sk_buff *skb, const int v6)
{
    void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
    const __u32 udp_at = ETH_HLEN + (v6 ? sizeof(struct ipv6hdr) : sizeof(struct iphdr));
    const __u32 rtp_at = udp_at + sizeof(struct udphdr);

    if (data + rtp_at + RTP_HEADER + PAYLOAD_MIN > end)
        return TC_NEXT;
    struct iphdr *ip = data + ETH_HLEN;
    struct ipv6hdr *ip6 = data + ETH_HLEN;
    struct udphdr *udp = data + udp_at;
    __u32 datagram;
    if (v6) {
        if (ip6->version != 6 || ip6->nexthdr != IPPROTO_UDP)
            return TC_NEXT;
        datagram = swap16(ip6->payload_len);
    } else {
        if (ip->version != 4 || ip->ihl != 5 || ip->protocol != IPPROTO_UDP || (ip->frag_off & swap16(0x3fff)))
            return TC_NEXT;
        datagram = swap16(ip->tot_len) - sizeof(*ip);
    }
    __u32 port = swap16(udp->dest);
    if (port < PORT_FIRST || port > PORT_LAST || ((port - PORT_FIRST) & 1))
        return TC_NEXT;
    __u32 length = swap16(udp->len) - sizeof(*udp);
    if (swap16(udp->len) != datagram || length < RTP_HEADER + PAYLOAD_MIN || length > RTP_HEADER + PAYLOAD_MAX)
        return TC_NEXT;

    __u32 slot = (port - PORT_FIRST) / 2;
    volatile struct rule *now_in_force = bpf_map_lookup_elem(&rules, &slot);
    struct counts *count = bpf_map_lookup_elem(&counts, &slot);
    if (!now_in_force || !count)
        return TC_NEXT;
    __u32 generation = now_in_force->generation;
    if (!(generation & 1))
        return TC_NEXT;
    barrier();
    /* A copy: the rule may be changed at any moment. */
    struct rule rule;
#pragma unroll
    for (unsigned i = 0; i < sizeof(rule) / 8; i++)
        ((__u64 *)&rule)[i] = ((volatile __u64 *)now_in_force)[i];
    barrier();
    if (now_in_force->generation != generation)
        return TC_NEXT;

    if (rule.family != (v6 ? AF_INET6 : AF_INET) || udp->source != rule.source_port)
        return TC_NEXT;
    if (v6) {
        __u32 *from = (__u32 *)&ip6->saddr, *to = (__u32 *)&ip6->daddr;
        if ((from[0] ^ rule.source[0]) | (from[1] ^ rule.source[1]) | (from[2] ^ rule.source[2]) |
            (from[3] ^ rule.source[3]))
            return TC_NEXT;
        if (!(rule.flags & ANY_LOCAL) && ((to[0] ^ rule.local[0]) | (to[1] ^ rule.local[1]) |
                                          (to[2] ^ rule.local[2]) | (to[3] ^ rule.local[3])))
            return TC_NEXT;
    } else {
        if (ip->saddr != rule.source[0])
            return TC_NEXT;
        if (!(rule.flags & ANY_LOCAL) && ip->daddr != rule.local[0])
            return TC_NEXT;
    }
    /* To this machine itself a packet goes on by itself, but only from this machine. */
    if (!rule.egress && skb->ifindex != LOOPBACK)
        return TC_NEXT;

    struct rtp *rtp = data + rtp_at;
    if (rtp->first != 0x80 || (rtp->second & 0x7f) != rule.payload_type || swap32(rtp->ssrc) != rule.ssrc)
        return TC_NEXT;
    __u16 sequence = swap16(rtp->sequence);
    __u16 ahead = sequence - (__u16)count->highest;
    if (ahead == 0 || ahead >= DROPOUT_MAX)
        return TC_NEXT;
    __u32 timestamp = swap32(rtp->timestamp);
    __u32 out_timestamp = timestamp + rule.timestamp_delta;
    __s32 leap = out_timestamp - count->timestamp;
    if (leap < -LEAP_BACK_MAX || leap > LEAP_AHEAD_MAX)
        return TC_NEXT;
    __u64 clock = bpf_ktime_get_ns();
    if (clock > alive_until_ns)
        return TC_NEXT;
    __u64 now = clock - CLOCK_OFFSET_NS;
    int heard = (sequence % SOUND_PACKETS == 0) && sounds((__u8 *)(rtp + 1), rule.sound_mask, rule.sound_min);
    if ((rule.flags & TAP) && !tap(skb, rule.stream, now, rtp_at, length)) {
        count->taps_full++;
        return TC_NEXT;
    }

    /* RFC 3550 A.1 and A.8, as the plane counts. */
    __u32 transit = (__u32)(now / 125000) - timestamp;
    __s32 d = transit - count->transit;
    __u32 distance = d < 0 ? -d : d;
    count->jitter += (distance < 480000 ? distance : 480000) - ((count->jitter + 8) >> 4);
    count->transit = transit;
    count->highest += ahead;
    count->timestamp = out_timestamp;
    count->samples = length - RTP_HEADER;
    count->octets += length - RTP_HEADER;
    count->bytes += length;
    count->last_ns = now;
    if (heard)
        count->sound_ns = now;
    barrier();
    __sync_fetch_and_add(&count->packets, 1);

    /* What is not covered by the pseudo header: ports and the RTP header. */
    struct {
        __u16 source, destination;
        struct rtp rtp;
    } before = {.source = udp->source, .destination = udp->dest, .rtp = *rtp}, after;
    after.source = rule.out_source_port;
    after.destination = rule.out_destination_port;
    after.rtp.first = rtp->first;
    after.rtp.second = (rtp->second & 0x80) | rule.out_payload_type;
    after.rtp.sequence = swap16((__u16)(sequence + rule.sequence_delta));
    after.rtp.timestamp = swap32(out_timestamp);
    after.rtp.ssrc = swap32(rule.out_ssrc);
    __u32 old_addresses[8], new_addresses[8];
    const __u32 words = v6 ? 8 : 2;
    if (v6) {
        __builtin_memcpy(old_addresses, &ip6->saddr, 32);
        __builtin_memcpy(new_addresses, rule.out_source, 16);
        __builtin_memcpy(new_addresses + 4, rule.out_destination, 16);
    } else {
        old_addresses[0] = ip->saddr;
        old_addresses[1] = ip->daddr;
        new_addresses[0] = rule.out_source[0];
        new_addresses[1] = rule.out_destination[0];
    }
    __s64 plain = bpf_csum_diff((void *)&before, sizeof(before), (void *)&after, sizeof(after), 0);
    __s64 pseudo = bpf_csum_diff(old_addresses, words * 4, new_addresses, words * 4, 0);
    const __u32 check_at = udp_at + __builtin_offsetof(struct udphdr, check);
    const __u64 mangled_0 = 1ULL << 5, pseudo_header = 1ULL << 4;
    if (bpf_l4_csum_replace(skb, check_at, 0, plain, mangled_0) ||
        bpf_l4_csum_replace(skb, check_at, 0, pseudo, mangled_0 | pseudo_header))
        return TC_NEXT;

    /* The helper may have moved the packet. */
    data = (void *)(long)skb->data;
    end = (void *)(long)skb->data_end;
    if (data + rtp_at + RTP_HEADER > end)
        return TC_NEXT;
    udp = data + udp_at;
    udp->source = after.source;
    udp->dest = after.destination;
    *(struct rtp *)(data + rtp_at) = after.rtp;
    if (v6) {
        ip6 = data + ETH_HLEN;
        __builtin_memcpy(&ip6->saddr, rule.out_source, 16);
        __builtin_memcpy(&ip6->daddr, rule.out_destination, 16);
        ip6->hop_limit = 64;
    } else {
        ip = data + ETH_HLEN;
        ip->saddr = rule.out_source[0];
        ip->daddr = rule.out_destination[0];
        ip->ttl = 64;
        ip->check = 0;
        __u32 sum = 0;
        __u16 *word = (__u16 *)ip;
#pragma unroll
        for (int i = 0; i < 10; i++)
            sum += word[i];
        sum = (sum & 0xffff) + (sum >> 16);
        sum = (sum & 0xffff) + (sum >> 16);
        ip->check = ~sum;
    }
    if (!rule.egress)
        return TC_OK;
    struct neighbour next = {.family = rule.next_hop_family};
    __builtin_memcpy(next.address, rule.next_hop, 16);
    return bpf_redirect_neigh(rule.egress, &next, sizeof(next), 0);
}

SEC("classifier")
int dialerd_relay(struct __sk_buff *skb)
{
    if (skb->protocol == swap16(ETH_P_IP))
        return relay(skb, 0);
    if (skb->protocol == swap16(ETH_P_IPV6))
        return relay(skb, 1);
    return TC_NEXT;
}

/* No helper that asks for the GPL is called. */
char _license[] SEC("license") = "Apache-2.0";
