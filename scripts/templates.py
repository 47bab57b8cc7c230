#!/usr/bin/env python3
"""Write assets/templates/templates.json: prompt templates and class names of the usual data sets.

From two MIT-licensed packages of PyPI: ImageNet's from open_clip_torch, the others from clip-benchmark.

    pip download --no-deps open_clip_torch==3.3.0 clip-benchmark==1.6.2
    scripts/templates.py open_clip_torch-3.3.0-py3-none-any.whl clip_benchmark-1.6.2-py2.py3-none-any.whl
"""

import argparse
import ast
import json
import zipfile
from pathlib import Path

TARGET = Path(__file__).parent.parent / "assets/templates/templates.json"
PLACEHOLDER = "{label}"
# Sets of clip-benchmark that are variants of others, or no sets of named classes.
LEFT_OUT = {
    "imagenet1k", "imagenet1k-unverified", "imagenetv2", "imagenet_sketch", "imagenet-a", "imagenet-r", "imagenet-o",
    "objectnet", "CLEVRCounts", "clevr_count_all", "clevr_closest_object_distance", "caltech101_vtab", "dummy",
    "dsprites_label_orientation", "dsprites_label_x_position", "smallnorb_label_azimuth", "smallnorb_label_elevation",
    "voc2007_multilabel",
}

# Chinese ones of our own for the sets that have none there.
OURS_ZH = {
    "simple-zh": ["{c}", "一张{c}的照片", "{c}的图片", "一张{c}的特写照片", "一张模糊的{c}照片"],
    "caltech101-zh": ["一张{c}的照片", "一幅{c}的画", "一张{c}的素描", "一个{c}玩具", "{c}的雕塑", "{c}的卡通画"],
    "cars-zh": ["一张{c}的照片", "一辆{c}", "一张{c}汽车的照片", "停在路边的{c}"],
    "cifar10-zh": ["一张{c}的照片", "一张模糊的{c}照片", "一张小{c}的照片", "一张大{c}的照片", "一张{c}的黑白照片"],
    "cifar100-zh": ["一张{c}的照片", "一张模糊的{c}照片", "一张小{c}的照片", "一张大{c}的照片", "一张{c}的黑白照片"],
    "country211-zh": ["一张在{c}拍的照片", "一张{c}风景的照片", "我在{c}旅行时拍的照片"],
    "dtd-zh": ["一张{c}纹理的照片", "一张{c}图案的照片", "表面是{c}的物体"],
    "eurosat-zh": ["一张{c}的卫星照片", "从高空拍摄的{c}", "一张{c}的航拍照片"],
    "flowers-zh": ["一张{c}的照片，一种花", "一朵{c}", "盛开的{c}"],
    "food101-zh": ["一张{c}的照片，一种食物", "一盘{c}", "一份{c}"],
    "gtsrb-zh": ["一张“{c}”交通标志的照片", "路边的“{c}”标志"],
    "mnist-zh": ["一张手写数字“{c}”的照片", "数字{c}"],
    "pets-zh": ["一张{c}的照片，一种宠物", "一只{c}", "一张{c}的特写照片"],
    "svhn-zh": ["一张门牌号“{c}”的照片", "数字{c}"],
}


def imagenet(wheel):
    """Its templates are lambdas of f-strings: read, not run."""
    with zipfile.ZipFile(wheel) as files:
        tree = ast.parse(files.read("open_clip/zero_shot_metadata.py").decode("utf-8"))
    values = {}
    for node in tree.body:
        if isinstance(node, ast.Assign):
            values[node.targets[0].id] = node.value
    def template(function):
        (name,) = (argument.arg for argument in function.args.args)
        text = ""
        for part in function.body.values:
            if isinstance(part, ast.Constant):
                text += part.value
            elif isinstance(part.value, ast.Name) and part.value.id == name:
                text += PLACEHOLDER
            else:
                raise SystemExit(f"error: line {function.lineno} is no plain template")
        return text
    def templates(name):
        return [template(function) for function in values[name].elts]
    classes = ast.literal_eval(values["IMAGENET_CLASSNAMES"])
    return {
        "imagenet": {"templates": templates("OPENAI_IMAGENET_TEMPLATES"), "classes": list(classes)},
        "imagenet-simple": {"templates": templates("SIMPLE_IMAGENET_TEMPLATES")},
    }


def benchmark(wheel, language):
    with zipfile.ZipFile(wheel) as files:
        def read(what):
            return json.loads(files.read(f"clip_benchmark/datasets/{language}_{what}.json"))
        templates, classes = read("zeroshot_classification_templates"), read("classnames")
    sets = {}
    for name in sorted((templates.keys() | classes.keys()) - LEFT_OUT):
        lines = [template.replace("{c}", PLACEHOLDER) for template in templates.get(name, [])]
        if not all(PLACEHOLDER in line for line in lines):
            raise SystemExit(f"error: a template of {name} has no place for the class")
        sets[name] = {"templates": lines, "classes": classes.get(name, [])}
    return sets, templates, classes


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("open_clip", type=Path, help="wheel of open_clip_torch")
    parser.add_argument("clip_benchmark", type=Path, help="wheel of clip-benchmark")
    arguments = parser.parse_args()
    sets = imagenet(arguments.open_clip)
    if [len(sets[name]["templates"]) for name in ("imagenet", "imagenet-simple")] != [80, 7]:
        raise SystemExit("error: ImageNet has 80 templates, and 7 of them in short")
    english, _, _ = benchmark(arguments.clip_benchmark, "en")
    sets |= english
    chinese, templates, classes = benchmark(arguments.clip_benchmark, "cn")
    if "imagenet1k" in templates and "imagenet1k" in classes:
        lines = [template.replace("{c}", PLACEHOLDER) for template in templates["imagenet1k"]]
        chinese["imagenet"] = {"templates": lines, "classes": classes["imagenet1k"]}
    sets |= {f"{name}-zh": found for name, found in chinese.items()}
    for name, lines in OURS_ZH.items():
        lines = [line.replace("{c}", PLACEHOLDER) for line in lines]
        sets.setdefault(name, {"classes": []}).setdefault("templates", lines)
    lines = [f"{json.dumps(name)}: {json.dumps(sets[name], ensure_ascii=False)}" for name in sorted(sets)]
    TARGET.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")
    for name in sorted(sets):
        print(f"{name}: {len(sets[name]['templates'])} templates, {len(sets[name].get('classes', []))} classes")
    print(f"{TARGET}: {TARGET.stat().st_size} bytes")


if __name__ == "__main__":
    main()
