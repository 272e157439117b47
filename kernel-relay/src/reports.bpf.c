/* Gives what is sent to any of the ports of reports (RTCP) to one socket, so that no call needs a socket of its own for the
 * few reports it gets. Runs where the network namespace looks for the socket of a packet (sk_lookup). All else is looked
 * for as ever.
 */
#include <linux/bpf.h>
#include <linux/in.h>

#define SEC(name) __attribute__((section(name), used))
#define __uint(name, value) int(*name)[value]
#define __type(name, value) typeof(value) *name

static void *(*bpf_map_lookup_elem)(void *map, const void *key) = (void *)1;
static long (*bpf_sk_release)(void *sock) = (void *)86;
static long (*bpf_sk_assign)(void *ctx, void *sock, __u64 flags) = (void *)124;

struct {
    __uint(type, BPF_MAP_TYPE_SOCKMAP);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, __u32);
} reports_socket SEC(".maps");

/* Set when the program is loaded. Reports have every second port from the second on. */
const volatile __u32 PORT_FIRST = 0;
const volatile __u32 PORT_LAST = 0;
const volatile __u32 FAMILY = 0;
const volatile __u32 ANY_LOCAL = 0; /* the sockets are bound to every address */
const volatile __u32 LOCAL_0 = 0;   /* network order; IPv4 in the first */
const volatile __u32 LOCAL_1 = 0;
const volatile __u32 LOCAL_2 = 0;
const volatile __u32 LOCAL_3 = 0;

SEC("sk_lookup")
int dialerd_reports(struct bpf_sk_lookup *ctx)
{
    __u32 port = ctx->local_port;
    if (ctx->protocol != IPPROTO_UDP || ctx->family != FAMILY || port <= PORT_FIRST || port > PORT_LAST + 1 ||
        !((port - PORT_FIRST) & 1))
        return SK_PASS;
    if (!ANY_LOCAL) {
        if (FAMILY == 2 /* AF_INET */) {
            if (ctx->local_ip4 != LOCAL_0)
                return SK_PASS;
        } else if (ctx->local_ip6[0] != LOCAL_0 || ctx->local_ip6[1] != LOCAL_1 || ctx->local_ip6[2] != LOCAL_2 ||
                   ctx->local_ip6[3] != LOCAL_3) {
            return SK_PASS;
        }
    }
    __u32 only = 0;
    void *sock = bpf_map_lookup_elem(&reports_socket, &only);
    if (!sock)
        return SK_PASS;
    bpf_sk_assign(ctx, sock, 0);
    bpf_sk_release(sock);
    return SK_PASS;
}

/* No helper that asks for the GPL is called. */
char _license[] SEC("license") = "Apache-2.0";
