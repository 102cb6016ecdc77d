"""LipConvNet with skew-orthogonal and Group-and-Shuffle convolutions, in plain PyTorch.

This is the network of "Group and Shuffle: Efficient Structured Orthogonal Parametrization"
(arXiv 2406.10019, NeurIPS 2024), written again so that gsnet has something to be timed against.
Names of weights are those of the authors' public code, so its checkpoints load. The operations
are the same too, one for one where they cost anything (F.conv2d per term, divided and added;
shuffles that copy; one power iteration a training step), including what could be done better.
"""

import math

import torch
import torch.nn.functional as F
from torch import nn

# The four matrices a filter [group, out, in, h, w] is reshaped to, each by the dimensions that
# are summed to get the left vector v from the right vector u, and the other way round.
RESHAPINGS = (((2, 4), (1, 3)), ((2, 3), (1, 4)), ((2, 3, 4), (1,)), ((1, 3, 4), (2,)))
TINY = 1e-12


def normalized(t):
    """t with the part of each group (dimension 0) scaled to norm 1."""
    norm = t.square().sum(dim=(1, 2, 3, 4), keepdim=True).sqrt()
    return t / norm.clamp_min(TINY)


def exp_series(x, kernel, groups, terms):
    """x + Kx + K^2 x / 2! + ... up to degree `terms`, K the zero-padded convolution with kernel."""
    power = total = x
    pad = kernel.shape[-1] // 2
    for i in range(1, terms + 1):
        power = F.conv2d(power, kernel, padding=pad, groups=groups) / float(i)
        total = total + power
    return total


def channel_shuffle(x, groups, paired):
    """Channel a*groups + b goes to b*(channels/groups) + a; paired: neighbours move together."""
    n, channels, height, width = x.shape
    if paired:
        x = x.view(n, channels // groups // 2, groups, 2, height, width)
    else:
        x = x.view(n, channels // groups, groups, height, width)
    return x.transpose(1, 2).contiguous().view(n, channels, height, width)


def space_to_depth(x):
    n, channels, height, width = x.shape
    x = x.reshape(n, channels, height // 2, 2, width // 2, 2)
    return x.permute(0, 1, 3, 5, 2, 4).reshape(n, channels * 4, height // 2, width // 2)


class SOC(nn.Module):
    """(Grouped) skew-orthogonal convolution; stride 2 by space-to-depth; zero channels or a crop
    where the numbers of input and output channels differ."""

    def __init__(self, in_channels, out_channels, kernel_size=3, stride=1, groups=1,
                 train_terms=5, eval_terms=12, init_iters=50, update_iters=1, update_freq=200):
        super().__init__()
        self.in_channels = in_channels * stride * stride
        self.out_channels = out_channels
        self.stride, self.groups = stride, groups
        self.train_terms, self.eval_terms = train_terms, eval_terms
        self.init_iters, self.update_iters, self.update_freq = init_iters, update_iters, update_freq
        self.steps = 0
        self.steady = False         # for compilation: no step counter, always update_iters
        self.channels_last = False  # run the series on channels-last tensors

        channels = max(self.in_channels, out_channels)
        assert stride in (1, 2) and channels % groups == 0
        m = channels // groups
        shape = (groups, m, m, kernel_size, kernel_size)
        self.random_conv_filter = nn.Parameter(torch.randn(shape) / math.sqrt(m))
        for i, (to_v, to_u) in enumerate(RESHAPINGS, 1):
            u = torch.randn([1 if d in to_u else n for d, n in enumerate(shape)])
            v = torch.randn([1 if d in to_v else n for d, n in enumerate(shape)])
            self.register_buffer(f"u{i}", normalized(u))
            self.register_buffer(f"v{i}", normalized(v))
        self.register_buffer("correction", torch.tensor([1.0 if kernel_size == 1 else 0.7]))
        bound = 1 / math.sqrt(out_channels)
        self.bias = nn.Parameter(torch.empty(out_channels).uniform_(-bound, bound))
        with torch.no_grad():
            self.power_iterations(self.skew(), init_iters)

    def skew(self):
        kernel = self.random_conv_filter
        return 0.5 * (kernel - kernel.transpose(1, 2).flip(3, 4))

    @torch.no_grad()
    def power_iterations(self, kernel, count):
        for _ in range(count):
            for i, (to_v, to_u) in enumerate(RESHAPINGS, 1):
                u, v = getattr(self, f"u{i}"), getattr(self, f"v{i}")
                v.copy_(normalized((kernel * u).sum(to_v, keepdim=True)))
                u.copy_(normalized((kernel * v).sum(to_u, keepdim=True)))

    def sigma(self):
        """The smallest of the four norm estimates of each group; u and v are constants in it."""
        kernel = self.skew()  # made a second time, as the public code does
        if self.training:
            if self.steady:
                count = self.update_iters
            else:
                count = self.init_iters if self.steps % self.update_freq == 0 else self.update_iters
                self.steps += 1
            self.power_iterations(kernel, count)
        forms = [(kernel * getattr(self, f"u{i}") * getattr(self, f"v{i}")).sum((1, 2, 3, 4))
                 for i in (1, 2, 3, 4)]
        smallest = torch.min(torch.min(torch.min(forms[0], forms[1]), forms[2]), forms[3])
        return smallest.view(-1, 1, 1, 1, 1)

    def forward(self, x):
        kernel = self.correction * self.skew() / (self.sigma() + TINY)
        kernel = kernel.flatten(0, 1)
        if self.stride == 2:
            x = space_to_depth(x)
        if self.out_channels > self.in_channels:
            x = F.pad(x, (0, 0, 0, 0, 0, self.out_channels - self.in_channels))
        if self.channels_last:
            x = x.contiguous(memory_format=torch.channels_last)
            kernel = kernel.contiguous(memory_format=torch.channels_last)
        x = exp_series(x, kernel, self.groups, self.train_terms if self.training else self.eval_terms)
        if self.out_channels < self.in_channels:
            x = x[:, :self.out_channels]
        return x + self.bias.view(1, -1, 1, 1)


class GroupAndShuffle(nn.Module):
    """Shuffle, grouped SOC; then, where groups has two numbers, shuffle and grouped 1x1 SOC."""

    def __init__(self, in_channels, out_channels, kernel_size, stride, groups, paired, shuffles=(True, True)):
        super().__init__()
        self.groups, self.paired, self.shuffles = groups, paired, shuffles
        self.soc1 = SOC(in_channels, out_channels, kernel_size, stride, groups[0])
        self.soc2 = SOC(out_channels, out_channels, 1, 1, groups[1]) if len(groups) == 2 else None

    def forward(self, x):
        if self.shuffles[0] and x.shape[1] % self.groups[0] == 0:
            x = channel_shuffle(x, self.groups[0], self.paired)
        x = self.soc1(x)
        if self.soc2 is None:
            return x
        return self.soc2(channel_shuffle(x, self.groups[1], self.paired) if self.shuffles[1] else x)


# Whether each option of the public code shuffles before the first and before the second exponential; gs_soc throws the
# result of its second shuffle away.
SHUFFLES = {"gs_soc_accelerated": (True, True), "gs_soc": (True, False), "lpr_soc": (False, True)}


def make_conv(name, in_channels, out_channels, kernel_size, stride, groups, paired):
    if name == "soc":
        return SOC(in_channels, out_channels, kernel_size, stride, groups)
    if name == "permuted_soc":        # "GS (g,-)"
        return GroupAndShuffle(in_channels, out_channels, kernel_size, stride, (groups,), paired)
    if name in SHUFFLES:              # "GS (g1,g2)" and two variants that leave a shuffle out
        return GroupAndShuffle(in_channels, out_channels, kernel_size, stride, tuple(groups), paired, SHUFFLES[name])
    raise ValueError(f"unknown convolution: {name}")


def minmax(x):
    """Channel i against channel i + channels/2; the first half becomes the minima."""
    a, b = x.chunk(2, dim=1)
    return torch.cat([torch.min(a, b), torch.max(a, b)], dim=1)


def minmax_permuted(x):
    """Channel 2i against 2i + 1; the minimum on the even one. Concatenated, then gathered into
    place, as the public code does (stacking the two instead is no faster)."""
    a, b = x[:, ::2], x[:, 1::2]
    both = torch.cat([torch.min(a, b), torch.max(a, b)], dim=1)
    half = x.shape[1] // 2
    order = torch.arange(2 * half, device=x.device).view(2, half).t().reshape(-1).int()
    return both[:, order]


ACTIVATIONS = {f.__name__: f for f in (minmax, minmax_permuted)}


class LipBlock(nn.Module):
    def __init__(self, conv, activation):
        super().__init__()
        self.conv, self.activation = conv, ACTIVATIONS[activation]

    def forward(self, x):
        return self.activation(self.conv(x))


class LipConvNet(nn.Module):
    """Five levels of block_size layers for 32x32 images; the last layer of a level has stride 2
    and doubles the channels (level 5's is 1x1); then a dense 1x1 SOC cut to num_classes."""

    def __init__(self, conv="permuted_soc", activation="minmax_permuted", block_size=1,
                 init_channels=32, groups=4, paired=True, num_classes=100):
        super().__init__()
        channels, planes = 3, init_channels
        for level in range(1, 6):
            blocks = []
            for layer in range(1, block_size + 1):
                last = layer == block_size
                out = planes * 2 if last else planes
                size = 1 if last and level == 5 else 3
                blocks.append(LipBlock(make_conv(conv, channels, out, size, 2 if last else 1,
                                                 groups, paired), activation))
                channels = out
            setattr(self, f"layer{level}", nn.Sequential(*blocks))
            planes = channels
        self.last_layer = SOC(channels, num_classes, kernel_size=1)

    def forward(self, x):
        for level in (self.layer1, self.layer2, self.layer3, self.layer4, self.layer5):
            x = level(x)
        return self.last_layer(x).flatten(1)
