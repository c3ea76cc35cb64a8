"""PyTorch side of workloads.md. usage: torch_peer.py [--compile] [names...]; prints one JSON line a workload."""
import os, sys, time, json, statistics, torch, torch.nn as nn, torch.nn.functional as F
torch.manual_seed(0); torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "2")))
compile_ = "--compile" in sys.argv
repeats = int(os.environ.get("BENCH_REPEATS", "7"))
names = [a for a in sys.argv[1:] if not a.startswith("-")]

def peak():
    """MiB this process has used at most; the high-water mark of its own memory, not its parent's."""
    for line in open("/proc/self/status"):
        if line.startswith("VmHWM:"): return int(line.split()[1]) / 1024
class Cnn(nn.Sequential):
    def __init__(s):
        super().__init__(nn.Conv2d(1, 32, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(5408, 64), nn.ReLU(), nn.Linear(64, 10))
class Rnn(nn.Module):
    def __init__(s, cell):
        super().__init__(); s.a = cell(16, 64, batch_first=True); s.b = cell(64, 64, batch_first=True); s.o = nn.Linear(64, 1)
    def forward(s, x):
        x, _ = s.a(x); x, _ = s.b(x); return s.o(x[:, -1])
class Block(nn.Module):
    def __init__(s, i, o, st):
        super().__init__(); s.c1 = nn.Conv2d(i, o, 3, st, 1, bias=False); s.b1 = nn.BatchNorm2d(o); s.c2 = nn.Conv2d(o, o, 3, 1, 1, bias=False); s.b2 = nn.BatchNorm2d(o)
        s.sc = nn.Identity() if i == o else nn.Sequential(nn.Conv2d(i, o, 1, st, bias=False), nn.BatchNorm2d(o))
    def forward(s, x): return F.relu(s.b2(s.c2(F.relu(s.b1(s.c1(x))))) + s.sc(x))
def resnet20():
    m = [nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU()]; i = 16
    for o, st in ((16, 1), (32, 2), (64, 2)):
        for k in range(3): m.append(Block(i, o, st if k == 0 else 1)); i = o
    return nn.Sequential(*m, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10))
class GptBlock(nn.Module):
    def __init__(s, d=128, h=4):
        super().__init__(); s.l1 = nn.LayerNorm(d); s.qkv = nn.Linear(d, 3 * d); s.p = nn.Linear(d, d); s.l2 = nn.LayerNorm(d); s.u = nn.Linear(d, 4 * d); s.w = nn.Linear(4 * d, d); s.h = h
    def forward(s, x):
        B, T, C = x.shape
        q, k, v = s.qkv(s.l1(x)).view(B, T, 3, s.h, C // s.h).permute(2, 0, 3, 1, 4)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).reshape(B, T, C)
        x = x + s.p(y)
        return x + s.w(F.gelu(s.u(s.l2(x))))
class Gpt(nn.Module):
    def __init__(s, V=65, d=128, T=64):
        super().__init__(); s.t = nn.Embedding(V, d); s.p = nn.Embedding(T, d); s.b = nn.Sequential(*[GptBlock(d) for _ in range(4)]); s.l = nn.LayerNorm(d); s.h = nn.Linear(d, V)
    def forward(s, i): return s.h(s.l(s.b(s.t(i) + s.p(torch.arange(i.shape[1])))))
def vgg():
    m = []; i = 3
    for o in (64, 128, 256):
        m += [nn.Conv2d(i, o, 3, padding=1), nn.ReLU(), nn.Conv2d(o, o, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]; i = o
    return nn.Sequential(*m, nn.Flatten(), nn.Linear(4096, 256), nn.ReLU(), nn.Linear(256, 10))
R = torch.randn; C = lambda n, k=10: torch.randint(0, k, (n,))
W = {"mlp": (lambda: nn.Sequential(nn.Linear(100, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10)), lambda n: (R(n, 100), C(n)), 32, 100),
     "cnn": (Cnn, lambda n: (R(n, 1, 28, 28), C(n)), 32, 40),
     "lstm": (lambda: Rnn(nn.LSTM), lambda n: (R(n, 50, 16), R(n, 1)), 32, 20), "gru": (lambda: Rnn(nn.GRU), lambda n: (R(n, 50, 16), R(n, 1)), 32, 20),
     "resnet20": (resnet20, lambda n: (R(n, 3, 32, 32), C(n)), 64, 4), "gpt": (Gpt, lambda n: (torch.randint(0, 65, (n, 64)), torch.randint(0, 65, (n, 64))), 12, 10),
     "vgg": (vgg, lambda n: (R(n, 3, 32, 32), C(n)), 32, 3)}
for name, (mk, data, bs, steps) in W.items():
    if names and name not in names: continue
    m = mk(); x, y = data(bs * steps); opt = torch.optim.Adam(m.parameters(), 1e-3)
    reg = name in ("lstm", "gru")
    def step(xb, yb):
        opt.zero_grad(set_to_none=True); o = m(xb)
        l = F.mse_loss(o, yb) if reg else F.cross_entropy(o.flatten(0, -2), yb.flatten())
        l.backward(); opt.step()
        with torch.no_grad(): met = (o - yb).abs().mean() if reg else (o.argmax(-1) == yb).float().mean()
        return l, met
    if compile_: m = torch.compile(m)
    def epoch():
        tot = torch.zeros(2)
        for b in range(steps):
            l, k = step(x[b * bs:(b + 1) * bs], y[b * bs:(b + 1) * bs]); tot += torch.stack((l.detach(), k))
        return tot
    try:
        for _ in range(2): epoch()
        ts = []
        for _ in range(repeats):
            t = time.perf_counter(); epoch(); ts.append((time.perf_counter() - t) / steps * 1e3)
        m.eval(); x1 = x[:1]
        with torch.inference_mode():
            for _ in range(20): m(x1)
            ps = []
            for _ in range(50):
                t = time.perf_counter(); m(x1); ps.append((time.perf_counter() - t) * 1e3)
        print(json.dumps({"peer": "torch" + ("-compile" if compile_ else ""), "workload": name, "ms_per_step": round(statistics.median(ts), 4), "min": round(min(ts), 4), "predict1_ms": round(statistics.median(ps), 4), "peak_mib": round(peak(), 1)}), flush=True)
    except Exception as e: print(json.dumps({"peer": "torch", "workload": name, "error": str(e)[:300]}), flush=True)
