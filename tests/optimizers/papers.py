"""The papers' recurrences in float64 numpy, one small function an optimizer.

A rule is (s, g, x, t, f) -> the change of x. `s` is a dictionary that it fills, `g` the
gradient, `x` the parameters, t = 1, 2, ... the step and `f` the loss. Rules of LAYERS
get one leaf at a time; the others get all parameters as one vector.
"""
# All rules have one signature, so most leave an argument unused.
# ruff: noqa: ARG001

import numpy as np

RATE = 0.05
sign, sqrt, norm = np.sign, np.sqrt, np.linalg.norm


def mean(s, name, value, decay):
    """An exponential moving average that starts at 0."""
    s[name] = decay * s.get(name, 0.0) + (1 - decay) * value
    return s[name]


def adam(s, g, x, t, f, b1=0.8, b2=0.9, eps=1e-3, decay=0.0, rate=RATE):
    """Kingma and Ba 2015, algorithm 1; decay as in Loshchilov and Hutter 2019."""
    m = mean(s, "m", g, b1) / (1 - b1**t)
    v = mean(s, "v", g**2, b2) / (1 - b2**t)
    return -rate * (m / (sqrt(v) + eps) + decay * x)


def adamax(s, g, x, t, f, decay=0.0):
    """Kingma and Ba 2015, algorithm 2, with torch's eps beside |g|."""
    m = mean(s, "m", g, 0.8) / (1 - 0.8**t)
    s["u"] = np.maximum(0.9 * s.get("u", 0.0), abs(g) + 1e-3)
    return -RATE * (m / s["u"] + decay * x)


def amsgrad(s, g, x, t, f, before=False):
    """Reddi et al. 2018; the bias is corrected after the maximum, or before it."""
    m = mean(s, "m", g, 0.8) / (1 - 0.8**t)
    correction = 1 - 0.9**t
    v = mean(s, "v", g**2, 0.9) / (1.0 if before else correction)
    s["max"] = np.maximum(s.get("max", 0.0), v)
    largest = s["max"] / (correction if before else 1.0)
    return -RATE * m / (sqrt(largest) + 1e-3)


def amsgrad_paper(s, g, x, t, f):
    """Reddi et al. 2018, algorithm 2: no bias correction."""
    m, v = mean(s, "m", g, 0.8), mean(s, "v", g**2, 0.9)
    s["max"] = np.maximum(s.get("max", 0.0), v)
    return -RATE * m / (sqrt(s["max"]) + 1e-3)


def nadam(s, g, x, t, f, psi=None, decay=0.0, b1=0.8):
    """Dozat 2016, algorithm 2; with psi its momentum schedule, else a constant."""

    def mu(t):
        return b1 if psi is None else b1 * (1 - 0.5 * 0.96 ** (t * psi))

    s["product"] = s.get("product", 1.0) * mu(t)
    s["m"] = b1 * s.get("m", 0.0) + (1 - b1) * g
    v = mean(s, "v", g**2, 0.9) / (1 - 0.9**t)
    ahead = mu(t + 1) * s["m"] / (1 - s["product"] * mu(t + 1))
    m = ahead + (1 - mu(t)) * g / (1 - s["product"])
    return -RATE * (m / (sqrt(v) + 1e-3) + decay * x)


def adabelief(s, g, x, t, f):
    """Zhuang et al. 2020, algorithm 2."""
    m = mean(s, "m", g, 0.8)
    s["s"] = 0.9 * s.get("s", 0.0) + 0.1 * (g - m) ** 2 + 1e-3
    return -RATE * m / (1 - 0.8**t) / (sqrt(s["s"] / (1 - 0.9**t)) + 1e-2)


def acprop(s, g, x, t, f):
    """Zhuang et al. 2021, algorithm 2, with g - m of the step before."""
    error = g - s.get("m", 0.0)
    mean(s, "m", g, 0.8)
    old = s.get("s", 0.0) / (1 - 0.9 ** (t - 1)) if t > 1 else 1.0
    s["s"] = 0.9 * s.get("s", 0.0) + 0.1 * error**2 + 1e-3
    return -RATE * g / (sqrt(old) + 1e-2)


def adadelta(s, g, x, t, f):
    """Zeiler 2012, algorithm 1."""
    old = s.get("x", 0.0)
    step = -sqrt(old + 1e-3) / sqrt(mean(s, "g", g**2, 0.9) + 1e-3) * g
    mean(s, "x", step**2, 0.9)
    return RATE * step


def adafactor(s, g, x, t, f):
    """Shazeer and Stern 2018, algorithms 4 and 5, with a given rate."""
    decay = 1 - t**-0.8
    square = g**2 + 1e-30
    if g.ndim == 2:
        rows = s["r"] = decay * s.get("r", 0.0) + (1 - decay) * square.mean(1)
        columns = s["c"] = decay * s.get("c", 0.0) + (1 - decay) * square.mean(0)
        v = np.outer(rows, columns) / rows.mean()
    else:
        v = s["v"] = decay * s.get("v", 0.0) + (1 - decay) * square
    u = g / sqrt(v)
    u = u / max(1.0, sqrt((u**2).mean()))
    return -RATE * max(1e-3, sqrt((x**2).mean())) * u


def adagrad(s, g, x, t, f):
    """Duchi et al. 2011, with a start and with eps inside the root."""
    s["sum"] = s.get("sum", 0.1) + g**2
    return -RATE * g / sqrt(s["sum"] + 1e-3)


def adan(s, g, x, t, f):
    """Xie et al. 2022, algorithm 1, with bias correction; 1 - b is the paper's beta."""
    b1, b2, b3 = 0.8, 0.7, 0.9
    change = g - s.get("g", g)
    s["g"] = g
    m = mean(s, "m", g, b1) / (1 - b1**t)
    v = mean(s, "v", change, b2) / (1 - b2**t)
    n = mean(s, "n", (g + (1 - b2) * change) ** 2, b3) / (1 - b3**t)
    update = (m + (1 - b2) * v) / (sqrt(n + 1e-4) + 1e-3)
    return -RATE * (update + 0.1 * x)


def ademamix(s, g, x, t, f):
    """Pagliardini et al. 2024, algorithm 1, with constant alpha and b3."""
    m = mean(s, "m", g, 0.8) / (1 - 0.8**t)
    slow = mean(s, "slow", g, 0.99)
    v = mean(s, "v", g**2, 0.9) / (1 - 0.9**t)
    return -RATE * ((m + 2.0 * slow) / (sqrt(v) + 1e-3) + 0.1 * x)


def simplified_ademamix(s, g, x, t, f):
    """Morwani et al. 2025, algorithm 1: the momentum is a sum."""
    s["m"] = 0.9 * s.get("m", 0.0) + g
    v = mean(s, "v", g**2, 0.95) / (1 - 0.95**t)
    return -0.005 * (s["m"] + 2.0 * g) / (sqrt(v) + 1e-3)


def adopt(s, g, x, t, f):
    """Taniguchi et al. 2024, algorithm 2: clipped at t^(1/4); the first step waits."""
    if t == 1:
        s["v"] = g**2
        return 0.0 * g
    limit = (t - 1) ** 0.25
    direction = np.clip(g / np.maximum(sqrt(s["v"]), 1e-3), -limit, limit)
    mean(s, "v", g**2, 0.9)
    return -RATE * mean(s, "m", direction, 0.8)


def cocob(s, g, x, t, f):
    """Orabona and Tommasi 2017, algorithm 2."""
    start = s.setdefault("start", x)
    s["largest"] = np.maximum(s.get("largest", 1e-8), abs(g))
    s["sum"] = s.get("sum", 0.0) + abs(g)
    s["reward"] = np.maximum(s.get("reward", 0.0) - g * (x - start), 0.0)
    s["theta"] = s.get("theta", 0.0) - g
    bound = s["largest"] * np.maximum(s["sum"] + s["largest"], 100 * s["largest"])
    new = start + s["theta"] / bound * (s["largest"] + s["reward"])
    return new - x


def dadapt_adamw(s, g, x, t, f):
    """Defazio and Mishchenko 2023, algorithm 5, with Adam's bias correction."""
    b1, b2, root, d = 0.9, 0.999, sqrt(0.999), s.get("d", 1e-3)
    rate = d * sqrt(1 - b2**t) / (1 - b1**t)
    inner = (g * s.get("s", 0.0) / (sqrt(s.get("v", 0.0)) + 1e-8)).sum()
    s["m"] = b1 * s.get("m", 0.0) + (1 - b1) * rate * g
    mean(s, "v", g**2, b2)
    s["s"] = root * s.get("s", 0.0) + (1 - root) * rate * g
    s["r"] = root * s.get("r", 0.0) + (1 - root) * rate * inner
    s["d"] = max(d, s["r"] / ((1 - root) * abs(s["s"]).sum()))
    return -s["m"] / (sqrt(s["v"]) + 1e-8)


def prodigy(s, g, x, t, f):
    """Mishchenko and Defazio 2023, algorithm 4, with Adam's bias correction."""
    b1, b2, root, d = 0.9, 0.999, sqrt(0.999), s.get("d", 1e-3)
    rate = d * sqrt(1 - b2**t) / (1 - b1**t)
    start = s.setdefault("start", x)
    s["r"] = root * s.get("r", 0.0) + d * rate * (g @ (start - x))
    s["s"] = root * s.get("s", 0.0) + d * rate * g
    m, v = mean(s, "m", d * g, b1), mean(s, "v", (d * g) ** 2, b2)
    s["d"] = max(d, s["r"] / abs(s["s"]).sum())
    return -rate * m / (sqrt(v) + s["d"] * 1e-8)


def dog(s, g, x, t, f):
    """Ivgi et al. 2023, equation 1."""
    start = s.setdefault("start", x)
    s["far"] = max(s.get("far", 1e-2 * (1 + norm(x))), norm(x - start))
    s["sum"] = s.get("sum", 0.0) + g @ g
    return -s["far"] / sqrt(s["sum"] + 1e-8) * g


def dowg(s, g, x, t, f):
    """Khaled et al. 2023, algorithm 1, with eps beside the root."""
    start = s.setdefault("start", x)
    s["far"] = max(s.get("far", 0.01), norm(x - start) ** 2)
    s["sum"] = s.get("sum", 0.0) + s["far"] * (g @ g)
    return -s["far"] / (sqrt(s["sum"]) + 1e-4) * g


def fromage(s, g, x, t, f):
    """Bernstein et al. 2020, algorithm 1."""
    return (x - RATE * norm(x) / norm(g) * g) / sqrt(1 + RATE**2) - x


def lamb(s, g, x, t, f):
    """You et al. 2020, algorithm 2."""
    u = -adam(s, g, x, t, f, decay=0.1, rate=1.0)
    return -RATE * norm(x) / norm(u) * u


def lars(s, g, x, t, f):
    """You et al. 2017, algorithm 1, with the norm of the sum in the denominator."""
    g = g + 0.1 * x
    s["v"] = 0.9 * s.get("v", 0.0) + 0.1 * norm(x) / norm(g) * g
    return -RATE * s["v"]


def lion(s, g, x, t, f):
    """Chen et al. 2023, algorithm 2."""
    direction = sign(0.8 * s.get("m", 0.0) + 0.2 * g)
    mean(s, "m", g, 0.9)
    return -RATE * (direction + 0.1 * x)


def lbfgs(s, g, x, t, f):
    """Liu and Nocedal 1989: the two loops over the last five pairs, a fixed step."""
    pairs = s.setdefault("pairs", [])
    if t > 1:
        pairs.append((x - s["x"], g - s["g"]))
        del pairs[:-5]
    s["x"], s["g"] = x, g
    factors = []
    direction = g
    for moved, change in reversed(pairs):
        factors.append(moved @ direction / (moved @ change))
        direction = direction - factors[-1] * change
    scale = min(1.0, 1 / norm(g))
    if pairs:
        moved, change = pairs[-1]
        scale = (moved @ change) / (change @ change)
    direction = scale * direction
    for (moved, change), factor in zip(pairs, reversed(factors), strict=True):
        other = change @ direction / (moved @ change)
        direction = direction + (factor - other) * moved
    return -RATE * direction


def madgrad(s, g, x, t, f):
    """Defazio and Jelassi 2021, algorithm 1, whose rate is the rate and eps."""
    start, weight = s.setdefault("start", x), (RATE + 1e-3) * sqrt(t)
    s["v"] = s.get("v", 0.0) + weight * g**2
    s["s"] = s.get("s", 0.0) + weight * g
    return 0.2 * (start - s["s"] / (np.cbrt(s["v"]) + 1e-3) - x)


def momo(s, g, x, t, f):
    """Schaipp et al. 2023, algorithm 1, with the lower bound 0."""
    b = 0.8 if t > 1 else 0.0
    d, average = mean(s, "d", g, b), mean(s, "f", f, b)
    inner = mean(s, "inner", g @ x, b)
    return -min(0.5, max(average + d @ x - inner, 0.0) / (d @ d)) * d


def momo_adam(s, g, x, t, f):
    """Schaipp et al. 2023, algorithm 3, with the lower bound 0."""
    d, average = mean(s, "d", g, 0.8), mean(s, "f", f, 0.8)
    inner = mean(s, "inner", g @ x, 0.8)
    scale = 1e-3 + sqrt(mean(s, "v", g**2, 0.9) / (1 - 0.9**t))
    tau = max(average + d @ x - inner, 0.0) / (d @ (d / scale))
    return -min(RATE / (1 - 0.8**t), tau) * d / scale


def novograd(s, g, x, t, f):
    """Ginsburg et al. 2019, algorithm 1."""
    s["v"] = norm(g) ** 2 if t == 1 else 0.25 * s["v"] + 0.75 * norm(g) ** 2
    direction = g / (sqrt(s["v"]) + 1e-3) + 0.1 * x
    s["m"] = 0.8 * s.get("m", 0.0) + direction
    return -RATE * s["m"]


def optimistic(s, u, alpha, beta):
    """Mokhtari et al. 2020: (alpha + beta) u - beta u of the step before."""
    old, s["before"] = s.get("before", u), u
    return -((alpha + beta) * u - beta * old)


def optimistic_descent(s, g, x, t, f):
    """Mokhtari et al. 2020, equation 9."""
    return RATE * optimistic(s, g, 1.0, 0.5)


def optimistic_adam(s, g, x, t, f):
    """Daskalakis et al. 2018, algorithm 1, on Adam without Nesterov's momentum."""
    return RATE * optimistic(s, -adam(s, g, x, t, f, rate=1.0), 1.0, 1.0)


def polyak(s, g, x, t, f):
    """Loizou et al. 2021, equation 4."""
    return -min(f / (g @ g), 0.5) * g


def radam(s, g, x, t, f):
    """Liu et al. 2020, algorithm 2, whose warm-up ends at rho = 5."""
    last = 2 / (1 - 0.9) - 1
    rho = last - 2 * t * 0.9**t / (1 - 0.9**t)
    m = mean(s, "m", g, 0.8) / (1 - 0.8**t)
    v = mean(s, "v", g**2, 0.9) / (1 - 0.9**t)
    if rho < 5:
        return -RATE * m
    over, under = (rho - 4) * (rho - 2) * last, (last - 4) * (last - 2) * rho
    return -RATE * sqrt(over / under) * m / (sqrt(v) + 1e-3)


def rmsprop(s, g, x, t, f, inside=True, centered=False):
    """Tieleman and Hinton 2012, with eps inside the root or outside of it."""
    v = mean(s, "v", g**2, 0.9) - centered * mean(s, "m", g, 0.9) ** 2
    scale = sqrt(v + 1e-3) if inside else sqrt(v) + 1e-3
    s["velocity"] = 0.5 * s.get("velocity", 0.0) + RATE * g / scale
    return -s["velocity"]


def schedule_free(s, g, x, t, f, direction=None):
    """Defazio et al. 2024, equations 3 to 5, at y; `x` is y here."""
    z = s.get("z", x)
    average = s.get("average", x)
    s["z"] = z + (-RATE * g if direction is None else direction)
    s["average"] = average + (s["z"] - average) / t
    return 0.2 * s["z"] + 0.8 * s["average"] - x


def schedule_free_adamw(s, g, x, t, f):
    """Defazio et al. 2024, algorithm 1, without warm-up."""
    v = mean(s, "v", g**2, 0.9) / (1 - 0.9**t)
    direction = -RATE * (g / (sqrt(v) + 1e-3) + 0.1 * x)
    return schedule_free(s, g, x, t, f, direction)


def sgd(s, g, x, t, f, momentum=0.8, nesterov=False):
    """Sutskever et al. 2013, in the form of torch: the rate is outside of v."""
    s["v"] = momentum * s.get("v", 0.0) + g
    return -RATE * (g + momentum * s["v"] if nesterov else s["v"])


def signum(s, g, x, t, f, b=0.8):
    """Bernstein et al. 2018, algorithms 1 (b = 0) and 2."""
    return -RATE * sign(mean(s, "m", g, b))


def sm3(s, g, x, t, f):
    """Anil et al. 2019, algorithm SM3-II, with a mean of the updates as momentum."""
    if g.ndim == 2:
        rows, columns = s.get("r", np.zeros(len(g))), s.get("c", np.zeros(g.shape[1]))
        v = np.minimum(rows[:, None], columns[None]) + g**2
        s["r"], s["c"] = v.max(1), v.max(0)
    else:
        v = s["v"] = s.get("v", 0.0) + g**2
    return -RATE * mean(s, "m", g / sqrt(v + 1e-8), 0.8)


def sophia(s, g, x, t, f, curvature=None):
    """Liu et al. 2023, algorithm 3, whose curvature is that of the step before."""
    m = mean(s, "m", g, 0.8) / (1 - 0.8**t)
    update = np.clip(m / np.maximum(0.5 * s.get("h", 0.0 * g), 1e-8), -1.0, 1.0)
    if (t - 1) % 3 == 0:
        mean(s, "h", curvature(x), 0.9)
    return -RATE * (update + 0.1 * x)


def yogi(s, g, x, t, f):
    """Zaheer et al. 2018, algorithm 2, with a start of both moments at 1e-6."""
    s["m"] = 0.8 * s.get("m", 1e-6) + 0.2 * g
    v = s.get("v", 1e-6)
    s["v"] = v - 0.1 * sign(v - g**2) * g**2
    return -RATE * s["m"] / (1 - 0.8**t) / (sqrt(s["v"] / (1 - 0.9**t)) + 1e-3)


def galore(s, g, x, t, f):
    """Zhao et al. 2024, algorithm 2, of rank 1, with the basis of the first step.

    The longer side is projected, here the columns; the paper projects the shorter one.
    """
    given = {"b1": 0.9, "b2": 0.999, "eps": 1e-8}
    if g.ndim == 1:
        return adam(s, g, x, t, f, **given)
    if t == 1:
        s["p"] = np.linalg.svd(g)[2][:1].T
    low = adam(s, g @ s["p"], 0.0, t, f, **given)
    return low @ s["p"].T
