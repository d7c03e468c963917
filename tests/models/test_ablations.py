"""The ablations of HRNet's paper: arguments of the trunk, keys of the config."""

import pytest
import torch

from pose.build import model_of
from pose.build_evaluation import check_same_network
from pose.build_network import ABLATIONS, settings_of
from pose.config import load_config
from pose.models.exchange import CHOICES, PUBLISHED, ExchangeRules
from pose.models.hrnet import hrnet
from pose.models.pose_model import HRNETS, MODELS, build_model, count_gflops
from pose.schema_network import Model
from pose.skeleton import COCO_17

VARIATIONS = [
    *({"rules": ExchangeRules(exchange=where)} for where in ("across", "end")),
    {"rules": ExchangeRules(fusion="product")},
    {"rules": ExchangeRules(downsampling="bilinear")},
    {"branch": 1},
    {"branch": 2, "rules": ExchangeRules("end", "product", "bilinear")},
]


def on_meta(name="hrnet_w32", **options):
    with torch.device("meta"):
        return build_model(name, 17, **options)


@pytest.mark.parametrize(("where", "number"), [("everywhere", 8), ("across", 3), ("end", 1)])
def test_number_of_exchanges(where, number):
    """Eight, three and one are those of the paper's table."""
    names = on_meta(rules=ExchangeRules(exchange=where)).state_dict()
    modules = {name.partition(".fuse_layers.")[0] for name in names if ".fuse_layers." in name}
    assert len(modules) == number
    assert "stage4.2" in modules
    assert where != "across" or modules == {"stage2.0", "stage3.3", "stage4.2"}


@pytest.mark.parametrize("options", VARIATIONS, ids=str)
def test_maps_have_the_size_that_the_stride_says(options):
    model = on_meta(**options)
    assert model.stride == 4 * 2 ** options.get("branch", 0)
    maps = model(torch.zeros(2, 3, 128, 96, dtype=torch.uint8, device="meta"))
    assert maps.shape == (2, 17, 128 // model.stride, 96 // model.stride)


@pytest.mark.parametrize("options", VARIATIONS, ids=str)
def test_a_gradient_reaches_every_parameter(options):
    """In double precision: a product of four small maps leaves little of a gradient."""
    torch.manual_seed(0)
    model = build_model("hrnet_small", 5, **options).double()
    images = torch.randint(0, 256, (4, 3, 64, 64), dtype=torch.uint8)
    maps = model(images)
    (maps - torch.rand_like(maps)).square().mean().backward()
    without = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert without == []


def test_the_defaults_are_the_published_network():
    published = on_meta()
    said = on_meta(branch=0, rules=ExchangeRules("everywhere", "sum", "strided", "nearest"))
    assert list(said.state_dict()) == list(published.state_dict())
    assert count_gflops(said, (192, 256)) == count_gflops(published, (192, 256))


def fuse_layers(**rules):
    torch.manual_seed(0)
    trunk = hrnet(8, modules=(1, 1, 1), rules=ExchangeRules(**rules))
    return trunk.get_submodule("stage3.0.fuse_layers").eval()


def random_maps():
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(2, 8 * 2**b, 16 // 2**b, 8 // 2**b, generator=generator) for b in range(3)]


@torch.no_grad()
def test_a_product_in_place_of_the_sum():
    exchange, maps = fuse_layers(fusion="product"), random_maps()
    parts = [layer(x) for layer, x in zip(exchange[1], maps, strict=True)]
    torch.testing.assert_close(exchange(maps)[1], (parts[0] * parts[1] * parts[2]).relu())


@torch.no_grad()
def test_bilinear_in_place_of_strided_downsampling():
    """Halving by halving each value is the mean of four, so the coarsest sees means of sixteen."""
    exchange, maps = fuse_layers(downsampling="bilinear"), random_maps()
    layer = exchange[2][0]
    kinds = [type(step).__name__ for step in layer]
    assert kinds == ["Upsample", "Upsample", "Conv2d", "BatchNorm2d"]
    means = torch.nn.functional.avg_pool2d(maps[0], 4)
    torch.testing.assert_close(layer(maps[0]), layer[3](layer[2](means)))


@pytest.mark.parametrize("rule", CHOICES)
def test_an_unknown_rule_is_refused(rule):
    with pytest.raises(ValueError, match=f"{rule} is 'none'; expected one of "):
        ExchangeRules(**{rule: "none"})


@pytest.mark.parametrize("name", [name for name in MODELS if name not in HRNETS])
@pytest.mark.parametrize("options", [{"branch": 1}, {"rules": ExchangeRules(exchange="end")}])
def test_other_networks_have_none(name, options):
    with pytest.raises(ValueError, match=rf"{name}: .*hrnet_w32") as error:
        build_model(name, 17, **options)
    assert "\n" not in str(error.value)


# In the config


def test_the_config_offers_what_the_trunk_takes():
    fields = Model.__dataclass_fields__
    for key in ABLATIONS:
        if key != "branch":
            assert fields[key].metadata["choices"] == CHOICES[key]
            assert fields[key].default == getattr(PUBLISHED, key)


@pytest.mark.parametrize(
    ("key", "value"),
    [("branch", "2x"), ("exchange", "end"), ("fusion", "product"), ("downsampling", "bilinear")],
)
def test_a_key_changes_the_network(key, value):
    cfg = load_config("coco/hrnet_w32_256x192", [f"model.{key}={value}"])
    with torch.device("meta"):
        model, codec = model_of(cfg, COCO_17)
    if key == "branch":
        assert (model.stride, codec.stride) == (8, 8)
    rows = model.get_submodule("stage4.2.fuse_layers")
    assert key != "fusion" or next(rows.children()).rules.fusion == "product"
    assert key not in ("exchange", "downsampling") or len(model.state_dict()) < 1754
    assert settings_of(cfg)[f"model.{key}"] == value


def test_weights_of_an_ablation_are_not_those_of_the_published_network():

    plain, ablated = (
        load_config("coco/hrnet_w32_256x192", overrides)
        for overrides in ([], ["model.fusion=product"])
    )
    with pytest.raises(ValueError, match=r"model\.fusion is sum in the config, product in the w"):
        check_same_network(plain, ablated, COCO_17, COCO_17, "w.pth")
