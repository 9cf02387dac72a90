# Recipes are the experiments; what they run are the stages, whose `--help` says the rest.
# Variables are overridable (`just model=enet run=mine train`) and come from the environment or `.env`.

set dotenv-load
set shell := ["bash", "-euo", "pipefail", "-c"]

# where everything is written
out := env("OODSEG_OUT", "runs")
# name of the trained network's run; `baseline` is the network before
run := env("OODSEG_RUN", "retrained")
# data set with unknown objects that is evaluated
dataset := env("OODSEG_DATASET", "lost-and-found-test")
# network, for weights that do not name theirs; empty for the one that they name
model := env("OODSEG_MODEL", "")
# weights pretrained on Cityscapes
weights := env("OODSEG_WEIGHTS", out / "pretrain" / "weights.safetensors")
# weights after OoD training, of this run alone
trained := out / run / "train" / "weights.safetensors"

# a segment is dropped when it is a false positive with more than this probability; nearer to 1, fewer objects are lost
meta_threshold := env("OODSEG_META_THRESHOLD", "")

# entropy thresholds beside 0.7 for the curves of errors, separated by commas; empty for none
thresholds := env("OODSEG_THRESHOLDS", "0.3,0.5,0.6,0.8")

# folders of the data sets as downloaded
cityscapes := env("CITYSCAPES_DATASET", "data/cityscapes")
coco := env("COCO_ROOT", "data/coco")
dataset_root := env("OODSEG_DATASET_ROOT", "data" / dataset)
# folder with real samples in the layout of `just real`
real_data := env("OODSEG_REAL_DATA", "../shared/real")

# evaluation resolution (WxH) of prepared labels, empty for the images' own
size := env("OODSEG_SIZE", "")

# folder of the executables; where it is set, nothing is built
bin := env("OODSEG_BIN", "target/release")

# Python with PyTorch, to compare with
pytorch := env("OODSEG_PYTORCH", "target/pytorch/bin/python")

network := if model == "" { "" } else { "--network " + model }
further := if thresholds == "" { "" } else { "--thresholds " + thresholds }
# builds one executable; with the features of the whole workspace, so that dependencies built before are taken as they are
build_bin := if env("OODSEG_BIN", "") == "" { "cargo build --release --workspace --bin" } else { "true" }
# what to do where something is missing
labels_missing := "`just labels` makes it"
weights_missing := "OODSEG_WEIGHTS is a file of weights pretrained on Cityscapes, or `just pretrain` trains some"
trained_missing := "`just train` makes it; run=NAME or OODSEG_RUN chooses the run"
judge_missing := "`just judge` makes it; run=NAME or OODSEG_RUN chooses the run"
real_missing := "OODSEG_REAL_DATA is a folder of real samples: cityscapes, coco, ood, weights"
just := quote(just_executable()) + " --justfile " + quote(justfile())

# list the recipes and the variables
[private]
default:
    @{{ just }} --list
    @echo
    @{{ just }} variables

# the variables of these recipes: set them in the environment, in `.env`, or as in `just run=mine train`
[group('develop')]
variables:
    #!/usr/bin/env bash
    set -euo pipefail
    {{ just }} --evaluate | sed 's/ *:= /=/; s/"//g' | awk -F= -v file={{ quote(justfile()) }} '
        BEGIN {
            while ((getline line < file) > 0) {
                if (line ~ /^# /) { text = substr(line, 3) }
                else if (line ~ /^[a-z_]+ := env\(/) {
                    split(line, part, "\""); name = line; sub(/ .*/, "", name); meaning[name] = text; variable[name] = part[2]
                }
            }
        }
        $1 in meaning { name = $1; sub(/^[^=]*=/, ""); printf "%-15s %-23s %s\n%-39s now: %s\n", name, variable[name], meaning[name], "", $0 == "" ? "empty" : $0 }'

# build all stages; where OODSEG_BIN names a folder of executables, these are used as they are
[group('develop')]
build:
    @{{ if env("OODSEG_BIN", "") == "" { "cargo build --release" } else { "true" } }}

# --- the main job on built-in data ---

# everything on drawn street scenes: data, pretraining, OoD training, evaluation, report (scale: full or small)
[group('demo')]
demo scale="full" dir=(out / "demo"): build
    #!/usr/bin/env bash
    set -euo pipefail
    data={{ quote(dir / "data") }} labels={{ quote(dir / "labels") }}
    steps=({{ if scale == "full" { "350 170" } else { "180 90" } }})
    quietly() { "$@" --quiet > /dev/null; }
    echo "1/7 draw street scenes, some with unknown objects, and pictures of other objects"
    quietly {{ bin }}/demo-data --scale {{ scale }} --output "$data"
    echo "2/7 make masks of known classes and unknown objects, and proxies of unknown objects"
    for set in cityscapes-train=cityscapes cityscapes-val=cityscapes lost-and-found-test=lost_and_found fishyscapes-static=fishyscapes; do
        # the drawn data sets are smaller than those that are published, of which prepare warns
        quietly {{ bin }}/cityscapes-io prepare --dataset "${set%=*}" --root "$data/${set#*=}" --output "$labels/${set%=*}" \
            2> >(grep -v " as published: " >&2)
    done
    quietly {{ bin }}/coco-proxy --annotations "$data/coco/annotations/instances_train2017.json" --images "$data/coco/train2017" \
        --preview 16 --output {{ quote(dir / "proxy") }}
    echo "3/7 train a network (ENet) on the scenes without unknown objects: the baseline"
    {{ bin }}/ood-train --network enet --ood-weight 0 --labels "$labels/cityscapes-train" --crop 96 --no-dropout \
        --steps ${steps[0]} --learning-rate 4e-3 --schedule poly --output {{ quote(dir / "pretrain") }} > /dev/null
    echo "4/7 OoD training: the network learns to be unsure about proxies that are pasted into the scenes"
    {{ bin }}/ood-train --init {{ quote(dir / "pretrain/weights.safetensors") }} --labels "$labels/cityscapes-train" \
        --proxy {{ quote(dir / "proxy") }} --ood-fraction 0 --paste 2 --paste-height 10:60 --ood-weight 0.5 --crop 96 --no-dropout \
        --steps ${steps[1]} --learning-rate 1e-3 --schedule poly --output {{ quote(dir / "retrained/train") }} > /dev/null
    echo "5/7 evaluate the baseline: entropy, segments, meta classification"
    {{ just }} _demo-judge {{ quote(dir) }} baseline {{ quote(dir / "pretrain/weights.safetensors") }}
    echo "6/7 evaluate the retrained network"
    {{ just }} _demo-judge {{ quote(dir) }} retrained {{ quote(dir / "retrained/train/weights.safetensors") }}
    echo "7/7 compare both in one report"
    {{ bin }}/ood-eval report --run baseline={{ quote(dir / "baseline") }} --run retrained={{ quote(dir / "retrained") }} --labels "$labels" \
        --gallery 60 --page-megabytes 8 --title "oodseg demo" --output {{ quote(dir / "report") }} --quiet | sed -n '/^lost-and-found-test$/,/└/p'
    echo "in percent; FP, FN: false alarms and missed objects; + meta: with meta classification"
    echo "report: "{{ quote(dir / "report/report.html") }}

# what the demo does with one weights file, without a word
[private]
_demo-judge dir run weights:
    #!/usr/bin/env bash
    set -euo pipefail
    labels={{ quote(dir / "labels") }} run={{ quote(dir / run) }}
    quietly() { "$@" --quiet > /dev/null; }
    for set in cityscapes-val lost-and-found-test fishyscapes-static; do
        quietly {{ bin }}/seg-model infer --weights {{ quote(weights) }} --labels "$labels/$set" --output "$run/logits/$set"
    done
    quietly {{ bin }}/ood-eval closed-set --logits "$run/logits/cityscapes-val" --labels "$labels/cityscapes-val" \
        --output "$run/closed_set/cityscapes-val"
    for set in lost-and-found-test fishyscapes-static; do
        quietly {{ bin }}/segment-metrics --min-size 24 --logits "$run/logits/$set" --labels "$labels/$set" --output "$run/segments/$set"
        quietly {{ bin }}/meta-clf fit --max-lost-objects 0.1 --segments "$run/segments/$set" --output "$run/meta/$set"
    done

# the picture and the table of the demo in the documents, from a finished `just demo`
[group('demo')]
demo-docs: _pytorch
    {{ pytorch }} docs/demo.py {{ out }}/demo

# --- the same on real samples ---

# the stages on small real samples: two pretrained networks, and one of them OoD-trained
[group('real')]
real dir=(out / "real"): (_need (real_data) real_missing) build
    {{ just }} _real-train {{ dir }}
    {{ just }} _judge {{ dir }} enet {{ dir }}/weights/enet.safetensors "road-anomaly21 road-obstacle21 fishyscapes-static" enet
    {{ just }} _judge {{ dir }} erfnet {{ dir }}/weights/erfnet.safetensors "road-anomaly21 road-obstacle21 fishyscapes-static" erfnet
    {{ just }} _judge {{ dir }} erfnet-ood {{ dir }}/erfnet-ood/train/weights.safetensors "road-anomaly21 road-obstacle21 fishyscapes-static" erfnet
    {{ bin }}/ood-eval report --run enet={{ dir }}/enet --run erfnet={{ dir }}/erfnet --run erfnet-ood={{ dir }}/erfnet-ood \
        --labels {{ dir }}/labels --skip-without-ood --published docs/published.toml --output {{ dir }}/report \
        --title "oodseg on real samples"
    @echo "report: {{ dir }}/report/report.html"

# one OoD training on the real samples with these flags, and its figures: `just real-recipe paste-s1 --paste 1 --seed 1`
[group('real')]
real-recipe name *flags: (_need (real_data) real_missing) build
    {{ just }} _real-data {{ out / "real" }}
    {{ bin }}/ood-train --init {{ out / "real" }}/weights/erfnet.safetensors \
        --labels {{ out / "real" }}/labels/cityscapes-train --proxy {{ out / "real" }}/proxy --crop 384 --batch-size 4 \
        --batch-norm frozen --output {{ out / "real" / name }}/train {{ flags }}
    {{ just }} _judge {{ out / "real" }} {{ name }} {{ out / "real" / name }}/train/weights.safetensors "road-anomaly21 road-obstacle21 fishyscapes-static" erfnet
    {{ bin }}/ood-eval evaluate --run {{ name }}={{ out / "real" / name }} --skip-without-ood --output {{ out / "real" / "eval" / name }}

# the best training of docs/RESULTS.md: objects pasted into the crops, the decoder alone trained, distilled from the network before
[group('real')]
real-best seed="0": (real-recipe ("best-s" + seed) "--ood-fraction 0 --paste 1 --paste-match-light --train-only decoder --learning-rate 5.5e-5 --schedule poly --distill 1 --steps 300 --accumulate 2 --seed" seed)

# the pipeline with other classes, camvid (11) or idd-lite (7): from the Cityscapes network with a new head, after OoD training, and from nothing
[group('real')]
real-classes set="camvid" steps="400" dir=(out / "real-classes" / set): (_need (real_data) real_missing) build
    {{ just }} _labels {{ dir }} {{ set }}-train {{ real_data }}/{{ replace(set, "-", "_") }}
    {{ just }} _labels {{ dir }} {{ set }}-val {{ real_data }}/{{ replace(set, "-", "_") }}
    {{ just }} size=1024x512 _labels {{ dir }} road-anomaly21 {{ real_data }}/ood/RoadAnomaly21
    {{ bin }}/coco-proxy --annotations {{ real_data }}/coco/annotations/instances_train2017.json \
        --images {{ real_data }}/coco/train2017 --preview 16 --output {{ dir }}/proxy
    mkdir -p {{ dir }}/weights
    {{ bin }}/seg-model import {{ real_data }}/weights/erfnet_dequant_city20.safetensors --classes cityscapes --void last --output {{ dir }}/weights/erfnet.safetensors
    {{ bin }}/ood-train --init {{ dir }}/weights/erfnet.safetensors --reset-head --labels {{ dir }}/labels/{{ set }}-train \
        --ood-weight 0 --crop 216 --batch-size 8 --steps {{ steps }} --learning-rate 5e-4 --schedule poly --output {{ dir }}/new-head/train
    {{ bin }}/ood-train --network erfnet --labels {{ dir }}/labels/{{ set }}-train \
        --ood-weight 0 --crop 216 --batch-size 8 --steps {{ steps }} --learning-rate 5e-4 --schedule poly --output {{ dir }}/from-nothing/train
    {{ bin }}/ood-train --init {{ dir }}/new-head/train/weights.safetensors --labels {{ dir }}/labels/{{ set }}-train --proxy {{ dir }}/proxy \
        --ood-fraction 0.25 --crop 216 --batch-size 8 --steps {{ steps }} --learning-rate 1e-5 --output {{ dir }}/new-head-ood/train
    for run in new-head new-head-ood from-nothing; do \
        {{ just }} _judge {{ dir }} $run {{ dir }}/$run/train/weights.safetensors road-anomaly21 "" {{ set }}-val; \
    done
    {{ bin }}/ood-eval report --run new-head={{ dir }}/new-head --run new-head-ood={{ dir }}/new-head-ood --run from-nothing={{ dir }}/from-nothing \
        --labels {{ dir }}/labels --skip-without-ood --output {{ dir }}/report --title "oodseg with the classes of {{ set }}"
    @echo "report: {{ dir }}/report/report.html"

[private]
_real-train dir:
    {{ just }} _real-data {{ dir }}
    {{ bin }}/ood-train --init {{ dir }}/weights/erfnet.safetensors \
        --labels {{ dir }}/labels/cityscapes-train --proxy {{ dir }}/proxy --ood-fraction 0.3333 --crop 384 --batch-size 4 \
        --steps 100 --learning-rate 1e-5 --batch-norm frozen --output {{ dir }}/erfnet-ood/train

[private]
_real-data dir:
    {{ just }} size=1024x512 _labels {{ quote(dir) }} cityscapes-train {{ real_data }}/cityscapes
    {{ just }} size=1024x512 _labels {{ quote(dir) }} cityscapes-val {{ real_data }}/cityscapes
    {{ just }} size=1024x512 _labels {{ quote(dir) }} road-anomaly21 {{ real_data }}/ood/RoadAnomaly21
    {{ just }} size=1024x512 _labels {{ quote(dir) }} road-obstacle21 {{ real_data }}/ood/RoadObsticle21
    {{ just }} size=1024x512 _labels {{ quote(dir) }} fishyscapes-static {{ real_data }}/ood/fs_static
    {{ bin }}/coco-proxy --annotations {{ real_data }}/coco/annotations/instances_train2017.json \
        --images {{ real_data }}/coco/train2017 --preview 16 --output {{ quote(dir) }}/proxy
    mkdir -p {{ quote(dir) }}/weights
    {{ bin }}/seg-model import {{ real_data }}/weights/enet_yurnero14_city20.safetensors --classes cityscapes --void last --output {{ quote(dir) }}/weights/enet.safetensors
    {{ bin }}/seg-model import {{ real_data }}/weights/erfnet_dequant_city20.safetensors --classes cityscapes --void last --output {{ quote(dir) }}/weights/erfnet.safetensors

# --- OoD training on real streets: recipes chosen on development sets, judged once on other sets ---

# categories that no training shows, for the development sets
held_out := "sheep,cow,giraffe,cat,bear,toilet,bench,umbrella,suitcase,boat"
# what every training on the streets has: CamVid and Cityscapes, at sizes at which a car is about as large in both
streets_flags := "--label-shares 0.6,0.4 --label-short-side 512,540 --crop 384 --batch-size 4 --steps 400"
# ours: objects of all COCO images pasted into the streets, divergence from the network before (little of it on CamVid, where that is no example)
streets_ours := "--ood-fraction 0 --paste 1 --paste-match-light --distill 1 --label-distill 1,0.1 --learning-rate 3e-4 --schedule poly"
# what judges, once: nothing is chosen on these sets
streets_judges := "road-anomaly21 road-obstacle21 fishyscapes-static"
# share of the weights before the training in the mean with those after it, for `ours`; chosen on the development sets
streets_before := "0.4"
# the recipe of the paper: a quarter of the crops from COCO, nothing else
streets_paper := "--ood-fraction 0.3333 --learning-rate 1e-5"

# an OoD training on two data sets of streets, judged on development sets and on three others: recipe `ours`, `paper` or `before` (no training)
[group('real')]
streets recipe="ours" network="erfnet" seed="0" *flags: (_need (real_data) real_missing) build
    #!/usr/bin/env bash
    set -euo pipefail
    dir={{ quote(out / "streets") }} before={{ quote(out / "streets/weights" / network + ".safetensors") }}
    {{ just }} _streets-data "$dir"
    case {{ recipe }} in
        before) {{ just }} _streets-judge "$dir" before-{{ network }} "$before" "{{ streets_judges }}"; exit ;;
        paper) recipe=({{ streets_paper }} --proxy "$dir/proxy-held-out") ;;
        ours) recipe=({{ streets_ours }} --objects "$dir/objects,$dir/objects-tiny") ;;
        *) echo "error: there is no recipe {{ recipe }}: choose ours, paper or before" >&2; exit 2 ;;
    esac
    name={{ recipe }}-{{ network }}-s{{ seed }}
    {{ bin }}/ood-train --init "$before" --labels "$dir/labels/cityscapes-train,$dir/labels/camvid-train" \
        {{ streets_flags }} "${recipe[@]}" --seed {{ seed }} --output "$dir/$name/train" {{ flags }}
    weights="$dir/$name/train/weights.safetensors"
    if test {{ recipe }} = ours; then
        {{ just }} _streets-mean "$dir/$name/mean.safetensors" "$before" "$weights" {{ streets_before }}
        weights="$dir/$name/mean.safetensors"
    fi
    {{ just }} _streets-judge "$dir" "$name" "$weights" "{{ streets_judges }}"

# the mean of the weights before and after a training; not again where it is newer than both
[private]
_streets-mean mean before after share:
    #!/usr/bin/env bash
    set -euo pipefail
    if test {{ quote(mean) }} -nt {{ quote(before) }} -a {{ quote(mean) }} -nt {{ quote(after) }}; then exit; fi
    {{ bin }}/seg-model average --weights {{ quote(before) }},{{ quote(after) }} --shares "{{ share }},$(awk 'BEGIN { print 1 - {{ share }} }')" \
        --output {{ quote(mean) }} --force

# a short training with `ours` and further flags, and its figures on the development sets alone: `just streets-screen paste2 --paste 2`
[group('real')]
streets-screen name *flags: (_need (real_data) real_missing) build
    #!/usr/bin/env bash
    set -euo pipefail
    dir={{ quote(out / "streets") }} labels={{ quote(out / "streets/labels") }}
    {{ just }} _streets-data "$dir"
    {{ bin }}/ood-train --init "$dir/weights/erfnet.safetensors" --labels "$labels/cityscapes-train,$labels/camvid-train" \
        {{ streets_flags }} {{ streets_ours }} --objects "$dir/objects" --steps 120 --val "$labels/camvid-val,$labels/cityscapes-val" \
        --val-ood "$labels/camvid-blended,$labels/cityscapes-blended" --val-every 120 --output "$dir/screen/{{ name }}" {{ flags }}

# the means of the weights before and after a screen, and their figures on the development sets alone: `just streets-shares paste2 0.3,0.5,0.7`
[group('real')]
streets-shares name shares="0.3,0.5,0.7": build
    #!/usr/bin/env bash
    set -euo pipefail
    dir={{ quote(out / "streets") }} screen={{ quote(out / "streets/screen" / name) }}
    runs=()
    for share in $(tr , ' ' <<< {{ shares }}); do
        {{ just }} _streets-mean "$screen/before-$share/mean.safetensors" "$dir/weights/erfnet.safetensors" "$screen/weights.safetensors" $share
        {{ just }} _streets-judge "$dir" "screen/{{ name }}/before-$share" "$screen/before-$share/mean.safetensors" ""
        runs+=(--run "before $share=$screen/before-$share")
    done
    {{ bin }}/ood-eval evaluate "${runs[@]}" --output "$screen/shares"

# labels, objects, proxies, development sets and weights of `just streets`
[private]
_streets-data dir:
    #!/usr/bin/env bash
    set -euo pipefail
    dir={{ quote(dir) }} data={{ quote(real_data) }}
    {{ just }} _real-data "$dir"
    for split in train val; do
        {{ bin }}/cityscapes-io prepare --dataset camvid-$split --root "$data/camvid" --class-map camvid-to-cityscapes --size 720x540 --output "$dir/labels/camvid-$split"
        {{ bin }}/cityscapes-io prepare --dataset idd-lite-$split --root "$data/idd_lite" --class-map idd-lite-to-cityscapes --size 720x512 --output "$dir/labels/idd-lite-$split"
    done
    for coco in objects=coco objects-tiny=coco_tiny; do
        annotations="$data/${coco#*=}/annotations"
        {{ bin }}/coco-proxy --objects --hold-out {{ held_out }} --annotations "$annotations/instances_train2017.json" --output "$dir/${coco%=*}"
        {{ bin }}/coco-proxy --objects --annotations "$annotations/instances_val2017.json" --output "$dir/${coco%=*}-val"
    done
    {{ bin }}/coco-proxy --hold-out {{ held_out }} --annotations "$data/coco/annotations/instances_train2017.json" --preview 16 --output "$dir/proxy-held-out"
    for set in cityscapes=8 camvid=1 idd-lite=1; do
        {{ bin }}/blend-objects --labels "$dir/labels/${set%=*}-val" --copies "${set#*=}" --objects "$dir/objects-val,$dir/objects-tiny-val" \
            --held-out-of "$dir/objects" --output "$dir/labels/${set%=*}-blended"
    done

# known classes, segments, meta classification fitted on the development sets and applied to the sets `others`; only of these, logits (21 MB an image) are kept
[private]
_streets-judge dir name weights others:
    #!/usr/bin/env bash
    set -euo pipefail
    dir={{ quote(dir) }} run={{ quote(dir / name) }}
    development="cityscapes-blended camvid-blended idd-lite-blended" others={{ quote(others) }}
    for set in cityscapes-val camvid-val idd-lite-val $development $others; do
        case $set in *-val) done="$run/closed_set/$set/manifest.json" ;; *) done="$run/segments/$set/manifest.json" ;; esac
        # logits that were removed are made again only where something is newer than what they led to
        if test "$done" -nt {{ quote(weights) }} -a "$done" -nt "$dir/labels/$set/manifest.json"; then continue; fi
        {{ bin }}/seg-model infer --weights {{ quote(weights) }} --labels "$dir/labels/$set" --output "$run/logits/$set"
        case $set in
            *-val) {{ bin }}/ood-eval closed-set --logits "$run/logits/$set" --labels "$dir/labels/$set" --output "$run/closed_set/$set" ;;
            *)
                {{ just }} _benchmark "$dir" {{ quote(name) }} "$set"
                {{ bin }}/segment-metrics {{ further }} --context --logits "$run/logits/$set" --labels "$dir/labels/$set" --output "$run/segments/$set"
                ;;
        esac
        case $set in *-val | *-blended) rm -r "$run/logits/$set" ;; esac
    done
    if test -n "$others"; then {{ just }} _streets-meta "$run" "$others" logistic meta; fi

# a classifier fitted on the development sets and applied to the sets `others`, in the folder `meta` of the run
[private]
_streets-meta run others classifier meta:
    #!/usr/bin/env bash
    set -euo pipefail
    run={{ quote(run) }}
    {{ bin }}/meta-clf fit --classifier {{ classifier }} --segments "$run/segments/cityscapes-blended,$run/segments/camvid-blended,$run/segments/idd-lite-blended" \
        --output "$run/{{ meta }}/development"
    for set in {{ others }}; do
        {{ bin }}/meta-clf apply --model "$run/{{ meta }}/development/model.json" --segments "$run/segments/$set" --output "$run/{{ meta }}/$set"
    done

# objects found over false alarms of one run, with every classifier: fitted on the development sets, and held out by image on each set itself
[group('real')]
streets-meta name: build
    #!/usr/bin/env bash
    set -euo pipefail
    run={{ quote(out / "streets" / name) }}
    runs=(--run "logistic=$run")
    for classifier in l1 trees network; do
        {{ just }} _streets-meta "$run" "{{ streets_judges }}" $classifier meta-$classifier
        runs+=(--run "$classifier=$run" --meta "$classifier=$run/meta-$classifier")
    done
    for set in {{ streets_judges }}; do
        {{ bin }}/meta-clf fit --segments "$run/segments/$set" --output "$run/meta-held-out/$set"
    done
    runs+=(--run "held out=$run" --meta "held out=$run/meta-held-out")
    {{ bin }}/ood-eval evaluate "${runs[@]}" --output "$run/meta-classifiers"

# the figures and pictures of `just streets`, seeds of a recipe side by side: `just streets-report erfnet 0,1,2`
[group('real')]
streets-report network="erfnet" seeds="0": build
    #!/usr/bin/env bash
    set -euo pipefail
    dir={{ quote(out / "streets") }}
    runs=(--run "before=$dir/before-{{ network }}")
    for recipe in paper ours; do
        folders=$(for seed in $(tr , ' ' <<< {{ seeds }}); do printf ',%s' "$dir/$recipe-{{ network }}-s$seed"; done)
        runs+=(--run "$recipe=${folders#,}")
    done
    {{ bin }}/ood-eval report "${runs[@]}" --labels "$dir/labels" --skip-without-ood --published docs/published.toml \
        --title "OoD training on real streets" --output "$dir/report-{{ network }}"
    echo "report: $dir/report-{{ network }}/report.html"

# --- the stages, one by one, on your data ---

# COCO images without Cityscapes classes become training masks (COCO_ROOT)
[group('stages')]
proxy *flags: (_need (coco / "annotations/instances_train2017.json") "COCO_ROOT is the folder of COCO, with annotations and train2017") build
    {{ bin }}/coco-proxy --annotations {{ coco }}/annotations/instances_train2017.json --images {{ coco }}/train2017 \
        --preview 24 --output {{ out }}/proxy {{ flags }}

# masks and index of Cityscapes (CITYSCAPES_DATASET) and of the data set to be evaluated (OODSEG_DATASET_ROOT)
[group('stages')]
labels: (_need (cityscapes) "CITYSCAPES_DATASET is the folder of Cityscapes, with leftImg8bit and gtFine") (_need (dataset_root) ("OODSEG_DATASET_ROOT is the folder of " + dataset)) build
    {{ just }} _labels {{ out }} cityscapes-train {{ cityscapes }}
    {{ just }} _labels {{ out }} cityscapes-val {{ cityscapes }}
    {{ just }} _labels {{ out }} {{ dataset }} {{ dataset_root }}

# look at every file of a data set, or of all that are named, and list everything that is wrong; coco is one too
[group('stages')]
check-data name="": build
    #!/usr/bin/env bash
    set -uo pipefail
    failed=0
    for name in {{ if name == "" { "cityscapes-train cityscapes-val coco " + dataset } else { name } }}; do
        case $name in
            coco) {{ bin }}/coco-proxy check --annotations {{ coco }}/annotations/instances_train2017.json ;;
            coco-*) {{ bin }}/cityscapes-io check --dataset $name --root {{ coco }} ;;
            cityscapes-*) {{ bin }}/cityscapes-io check --dataset $name --root {{ cityscapes }} ;;
            *) {{ bin }}/cityscapes-io check --dataset $name --root {{ dataset_root }} ;;
        esac || failed=1
    done
    exit $failed

# train a network on Cityscapes alone
[group('stages')]
pretrain *flags: (_need (out / "labels/cityscapes-train") labels_missing) build
    {{ bin }}/ood-train --network {{ if model == "" { "erfnet" } else { model } }} --ood-weight 0 --labels {{ out }}/labels/cityscapes-train --epochs 100 \
        --learning-rate 5e-4 --schedule poly --output {{ out }}/pretrain {{ flags }}

# OoD training of the pretrained weights; the same command goes on after an interruption. Other flags are another run: `just run=lambda-0.5 train --ood-weight 0.5`
[group('stages')]
train *flags: (_need (weights) weights_missing) (_need (out / "labels/cityscapes-train") labels_missing) (_need (out / "proxy") "`just proxy` makes it") build
    {{ bin }}/ood-train --init {{ weights }} {{ network }} --labels {{ out }}/labels/cityscapes-train --proxy {{ out }}/proxy \
        --output {{ out }}/{{ run }}/train {{ flags }}

# logits, segments and meta classification of both networks on the data set, and their mIoU
[group('stages')]
judge: (_need (weights) weights_missing) (_need (trained) trained_missing) (_need (out / "labels" / dataset) labels_missing) (_need (out / "labels/cityscapes-val") labels_missing) build (_judge out "baseline" weights dataset model) (_judge out run trained dataset model)

# logits of one run on the data set; `just trained=FILE infer` takes other weights
[group('stages')]
infer *flags: (_need (trained) trained_missing) (_need (out / "labels" / dataset) labels_missing) build
    {{ bin }}/seg-model infer --weights {{ trained }} {{ network }} --labels {{ out }}/labels/{{ dataset }} \
        --output {{ out }}/{{ run }}/logits/{{ dataset }} {{ flags }}

# segments and pixel histograms of one run on the data set: `just metrics --entropy-threshold 0.5`
[group('stages')]
metrics *flags: (_need (out / run / "logits" / dataset) "`just infer` makes it") (_need (out / "labels" / dataset) labels_missing) build
    {{ bin }}/segment-metrics {{ further }} --logits {{ out }}/{{ run }}/logits/{{ dataset }} \
        --labels {{ out }}/labels/{{ dataset }} --output {{ out }}/{{ run }}/segments/{{ dataset }} {{ flags }}

# meta classification of one run on the data set
[group('stages')]
meta *flags: (_need (out / run / "segments" / dataset) "`just metrics` makes it") build
    {{ bin }}/meta-clf fit {{ if meta_threshold == "" { "" } else { "--threshold " + meta_threshold } }} --segments {{ out }}/{{ run }}/segments/{{ dataset }} \
        --output {{ out }}/{{ run }}/meta/{{ dataset }} {{ flags }}

# figures of the baseline and one run
[group('stages')]
eval *flags: (_need (out / "baseline/segments") judge_missing) (_need (out / run / "segments") judge_missing) build
    {{ bin }}/ood-eval evaluate --run baseline={{ out }}/baseline --run {{ run }}={{ out }}/{{ run }} --output {{ out }}/eval/{{ run }} {{ flags }}

# the same on a data set of your own, from its labels on: `just evaluate my-streets.toml /data/my-streets`
[group('stages')]
evaluate manifest root *flags: (_need manifest "it describes a data set, as the files of data-manifests do") (_need root "it is the folder of the data set") (_need weights weights_missing) (_need trained trained_missing) build
    {{ bin }}/cityscapes-io prepare --manifest {{ quote(manifest) }} --root {{ quote(root) }} {{ if size == "" { "" } else { "--size " + size } }} \
        --output {{ out }}/labels/{{ file_stem(manifest) }}
    {{ just }} _judge {{ out }} baseline {{ weights }} {{ file_stem(manifest) }} "{{ model }}" ""
    {{ just }} _judge {{ out }} {{ run }} {{ trained }} {{ file_stem(manifest) }} "{{ model }}" ""
    {{ bin }}/ood-eval evaluate --run baseline={{ out }}/baseline --run {{ run }}={{ out }}/{{ run }} --output {{ out }}/eval/{{ run }} {{ flags }}

# a training for each value of a flag and each seed, judged, and one report of all: `just sweep ood-weight 0.5,0.9 0,1,2`; further flags go to every training
[group('stages')]
sweep flag values seeds="0" *flags: (_need (weights) weights_missing) (_need (out / "labels" / dataset) labels_missing) build
    #!/usr/bin/env bash
    set -euo pipefail
    runs=(--run "baseline={{ out }}/baseline")
    for value in $(tr , ' ' <<< {{ quote(values) }}); do
        folders=
        for seed in $(tr , ' ' <<< {{ quote(seeds) }}); do
            name={{ quote(flag) }}-$value-s$seed
            {{ just }} run="$name" train --{{ flag }} "$value" --seed "$seed" {{ flags }}
            {{ just }} run="$name" judge
            folders+=${folders:+,}{{ out }}/$name
        done
        runs+=(--run {{ quote(flag) }}-"$value=$folders")
    done
    {{ bin }}/ood-eval report "${runs[@]}" --labels {{ out }}/labels --output {{ out }}/report/sweep-{{ flag }}
    echo "report: {{ out }}/report/sweep-{{ flag }}/report.html"

# which differences of two runs on the same images are real: `just compare baseline retrained`
[group('stages')]
compare first second *flags: (_need (out / first / "segments") judge_missing) (_need (out / second / "segments") judge_missing) build
    {{ bin }}/ood-eval compare --run {{ first }}={{ out }}/{{ first }} --run {{ second }}={{ out }}/{{ second }} \
        --output {{ out }}/compare/{{ first }}-{{ second }} {{ flags }}

# score maps of one run on the data set for other tools: `just export` for the benchmark, `just export npy,overlay` and so on
[group('stages')]
export formats="smiyc" *flags: (_need (out / run / "logits" / dataset) "`just infer` makes it") (_need (out / "labels" / dataset) labels_missing) build
    {{ bin }}/ood-eval export --logits {{ out }}/{{ run }}/logits/{{ dataset }} --labels {{ out }}/labels/{{ dataset }} \
        --format {{ formats }} --image-size --method {{ run }} --output {{ out }}/{{ run }}/export/{{ dataset }} {{ flags }}

# figures, plots and pictures of the baseline and one run in one file
[group('stages')]
report *flags: (_need (out / "baseline/segments") judge_missing) (_need (out / run / "segments") judge_missing) build
    {{ bin }}/ood-eval report --run baseline={{ out }}/baseline --run {{ run }}={{ out }}/{{ run }} --labels {{ out }}/labels \
        --output {{ out }}/report/{{ run }} {{ flags }}
    @echo "report: {{ out }}/report/{{ run }}/report.html"

# what may be unknown in a folder of images without labels, in one pass; called again, new images only: `just detect FOLDER runs/retrained/meta/lost-and-found-test/model.json`
[group('stages')]
detect images meta="" weights=trained dir=(out / "detect") *flags: (_need images "it is a folder of images") (_need weights trained_missing) build
    {{ bin }}/oodseg detect --weights {{ quote(weights) }} {{ network }} --folder {{ quote(images) }} \
        {{ if meta == "" { "" } else { "--meta " + quote(meta) } }} --output {{ dir }}/found {{ flags }}

# ends in one line if a file or folder is missing, before anything is built
[no-exit-message]
[private]
_need path remedy:
    @test -e {{ quote(path) }} || { echo {{ quote("error: " + path + " does not exist: " + remedy) }} >&2; exit 1; }

[private]
_labels dir name root:
    {{ bin }}/cityscapes-io prepare --dataset {{ name }} --root {{ quote(root) }} {{ if size == "" { "" } else { "--size " + size } }} \
        --output {{ quote(dir) }}/labels/{{ name }}

# everything that is done with one weights file; the closed-set metrics are those on the data set `known`, if one is named
[private]
_judge dir run weights datasets network=model known="cityscapes-val":
    for dataset in {{ known }} {{ datasets }}; do \
        {{ bin }}/seg-model infer --weights {{ weights }} {{ if network == "" { "" } else { "--network " + network } }} --labels {{ dir }}/labels/$dataset \
            --output {{ dir }}/{{ run }}/logits/$dataset; \
    done
    for dataset in {{ known }}; do \
        {{ bin }}/ood-eval closed-set --logits {{ dir }}/{{ run }}/logits/$dataset --labels {{ dir }}/labels/$dataset \
            --output {{ dir }}/{{ run }}/closed_set/$dataset; \
    done
    for dataset in {{ datasets }}; do \
        {{ bin }}/segment-metrics {{ further }} --logits {{ dir }}/{{ run }}/logits/$dataset \
            --labels {{ dir }}/labels/$dataset --output {{ dir }}/{{ run }}/segments/$dataset; \
    done
    for dataset in {{ datasets }}; do \
        {{ bin }}/meta-clf fit {{ if meta_threshold == "" { "" } else { "--threshold " + meta_threshold } }} --segments {{ dir }}/{{ run }}/segments/$dataset \
            --output {{ dir }}/{{ run }}/meta/$dataset; \
    done
    for dataset in {{ datasets }}; do {{ just }} _benchmark {{ dir }} {{ run }} $dataset; done

# segments by the rules of SegmentMeIfYouCan, of the data sets that it has
[private]
_benchmark dir run dataset:
    case {{ dataset }} in \
        road-anomaly21) track=anomaly ;; \
        road-obstacle21 | lost-and-found-test*) track=obstacle ;; \
        *) exit 0 ;; \
    esac; \
    {{ bin }}/segment-metrics --track $track --logits {{ dir }}/{{ run }}/logits/{{ dataset }} \
        --labels {{ dir }}/labels/{{ dataset }} --output {{ dir }}/{{ run }}/benchmark/{{ dataset }}

# --- development ---

# all tests
[group('develop')]
test:
    cargo test --release --workspace

# time and memory of operations and networks, as a fraction of what the machine can do
[group('develop')]
bench filter="":
    {{ build_bin }} bench
    {{ bin }}/bench table {{ filter }}

# the same in turns with PyTorch in all configurations that could be its fastest, installed at the first call: `just race erfnet --precisions f32`, `just race --show`
[group('develop')]
race *flags: _pytorch
    {{ build_bin }} bench
    {{ pytorch }} tests/bench/race.py {{ bin }}/bench --results {{ quote(out / "race.json") }} {{ flags }}

# inference and training step of a network, or of one of each kind, likewise: `just race-network segformer-b0 --size 2048x1024`
[group('develop')]
race-network name="all" *flags: _pytorch
    #!/usr/bin/env bash
    set -euo pipefail
    {{ build_bin }} bench
    names=({{ name }})
    if test {{ name }} = all; then names=(erfnet enet deeplabv3plus-wrn38 deeplabv3plus-res50 dualgcn-res50 segformer-b0 dinov2-vits14); fi
    {{ pytorch }} tests/bench/race.py {{ bin }}/bench "${names[@]/%/-inference}" "${names[@]/%/-step}" --results {{ quote(out / "race.json") }} {{ flags }}

# time and memory of the stages over image size, classes, threads and batch, on the real samples: `just growth --only sizes`
[group('develop')]
growth *flags: (_need (real_data) real_missing) build _pytorch
    {{ build_bin }} bench
    {{ pytorch }} tests/bench/growth.py {{ bin }} {{ quote(real_data / "ood/RoadAnomaly21") }} {{ quote(real_data / "weights/erfnet_dequant_city20.safetensors") }} \
        {{ quote(out / "growth") }} {{ flags }}

# images a second from JPEG files to the tables of segments, on the real samples: `just chain --images 50`
[group('develop')]
chain *flags: (_need (real_data) real_missing) build _pytorch
    mkdir -p {{ quote(out / "real/weights") }}
    {{ bin }}/seg-model import {{ quote(real_data / "weights/erfnet_dequant_city20.safetensors") }} --classes cityscapes --void last --output {{ quote(out / "real/weights/erfnet.safetensors") }}
    {{ pytorch }} tests/bench/chain_throughput.py {{ bin }} {{ quote(real_data / "ood/RoadAnomaly21") }} {{ quote(out / "real/weights/erfnet.safetensors") }} {{ quote(out / "chain") }} {{ flags }}

# OoD training of ERFNet, here and in PyTorch, on masks made before: `just race-training runs/real/labels/cityscapes-train runs/real/proxy`
[group('develop')]
race-training labels proxy *counts: _pytorch
    {{ build_bin }} ood-train
    {{ pytorch }} tests/bench/training_throughput.py {{ bin }}/ood-train {{ labels }} {{ proxy }} {{ counts }}

# segments and pixel figures of 1,200 large images made of smaller ones, the figures also in turns with scikit-learn: `just bench-images runs/real/erfnet/logits/fishyscapes-static runs/real/labels/fishyscapes-static`
[group('develop')]
bench-images logits labels count="1200": build _pytorch
    rm -rf target/many-images
    {{ pytorch }} tests/bench/many_images.py {{ bin }} {{ logits }} {{ labels }} target/many-images {{ count }}
    {{ pytorch }} tests/bench/pixel_evaluation.py {{ bin }} target/many-images/logits target/many-images/labels 8 3 240
    rm -rf target/many-images

# pixel figures here and with scikit-learn, of the same images: `just race-pixels runs/real/erfnet/logits/fishyscapes-static runs/real/labels/fishyscapes-static`
[group('develop')]
race-pixels logits labels *counts: build _pytorch
    {{ pytorch }} tests/bench/pixel_evaluation.py {{ bin }} {{ logits }} {{ labels }} {{ counts }}

# the wheel with the executable and the Python module, in target/wheels, tried in a fresh virtual environment
[group('develop')]
wheel:
    python/build_wheel.sh

[private]
_pytorch:
    test -x {{ pytorch }} || (python3 -m venv target/pytorch && target/pytorch/bin/pip install --quiet \
        torch torchvision numpy pillow safetensors scipy scikit-learn onnx onnxscript onnxruntime)

# the gate: format, lints, documentation, tests
[group('develop')]
check: && test
    cargo fmt --all --check
    cargo clippy --release --workspace --all-targets -- -D warnings
    RUSTDOCFLAGS="-D warnings" cargo doc --release --no-deps --workspace
