## Numbers

bytes = { $count } bytes
parameters-thousand = { $count } thousand parameters
parameters-million = { $count } million parameters
parameters-billion = { $count } billion parameters
seconds-left = { $seconds } s left
minutes-left = { $minutes } min left
hours-left = { $hours } h left
percent = { $value } %
images = { $count ->
    [one] 1 image
   *[other] { $count } images
}

## Tabs

classify = Classify
train = Train
library = Library
evaluate = Evaluate
tab-running = running
tab-paused = paused
tabs = Mode

## Header and footer

footer = CLIP compares an image with text prompts and ranks your labels without being trained on them: zero-shot classification. Written in Rust, runs on WebAssembly and WebGPU, needs no server.
title = CLIP in your browser
promise-what = Drop an image, enter some labels and see which fits best.{" "}
promise-local = Nothing is uploaded
promise-where = : everything runs on your own GPU or CPU.
dark-theme = Dark theme
toggle-dark-theme = Toggle dark theme
change-language = Change the language

## Device and progress

not-running = Not running
loading-cancelled = Loading cancelled
running = Running
running-on = Running on{" "}
device-reason = : { $reason }
starting = Starting…
preparing-cpu = Preparing the CPU…
looking-for-gpu = Looking for a GPU…
loading-model-of = Loading the model: { $done } of { $total }
loading-model-so-far = Loading the model: { $done }
loading-model = Loading the model…
warming-up = Warming up: the first run takes longer…
cancelling = Cancelling…
encoding-prompts-of = Encoding prompts: { $done } of { $total }
encoding-prompts = Encoding prompts…
images-left = { $images } left
model-facts = { $name } · { $parameters } · { $bytes } · { $precision } weights · { $width } × { $height } pixel input
model-independent = {" "}· a probability for each label by itself
model-and-device = Model and device
resume = Resume
load-the-model = Load the model
stop-now = Stop now
cancel = Cancel
int8-help = Faster on the CPU, but slightly less accurate: probabilities may change by a few hundredths. Turn it off for training.
int8 = 8-bit weights (faster)
device = Device
progress = Progress
try-again = Try again
use-bundled = Use the bundled model
use-cpu = Use the CPU
auto = Auto
gpu-did-not-work = the GPU did not work: { $error }
worker-restarted = The worker crashed ({ $error }) and was restarted automatically. You do not need to do anything.
gpu-failed-twice = the GPU failed twice
gpu-failed-now-cpu = The GPU failed twice ({ $error }), so the page now uses the CPU, which is slower but reliable. Choose “GPU” to try again.
advice-connection = Check your connection and try again. If that does not help, reload the page.
advice-memory = Close other tabs that use a lot of memory, remove very large images and try again.
advice-gpu = Choose “CPU” under “Device”, or close other tabs that use the GPU and try again.
worker-did-not-start = could not be started
worker-crashed-twice = crashed twice within a minute
worker-failed = The worker { $what } ({ $error }). { $advice }
no-reason-given = no reason given
worker-version = The page and its worker are different versions, probably because the browser cached an old file ({ $error }). Reload the page.
worker-message-unreadable = one of its messages could not be read
worker-script-not-loaded = its script could not be loaded
worker-not-started = The browser could not start the background worker ({ $error }). Reload the page, or use a current version of Chrome, Edge, Firefox or Safari.

## Adding images

add-more-images = Add more images
drop-anywhere = Drop an image anywhere
add-an-image = Add an image
choose-images = Choose images
use-camera = Use the camera
choose-video = Choose a video
or-paste = or paste with{" "}
drop-or-paste = drop them, or paste with{" "}
formats-help = PNG, JPEG, WebP, GIF, BMP or TIFF, and AVIF or HEIC where this browser reads them. Images never leave this device.
add-sample = Add sample image: { $image }
try-a-sample = No image at hand? Try a sample
samples = Samples
sample-images = Sample images
dropped-a-link = That was a link, not an image file. Save the image and drop the file, or copy the image and paste it here.
drop-to-add = Drop to add
choose-folder = Choose a folder
choose-files-or-zip = Choose files or a zip
file-too-large = This file is larger than 100 MB. Add a smaller copy instead.
file-unreadable = This file could not be read. It is a folder, or it has been moved or changed. Add it again.
file-moved = this file could not be read: it has been moved or changed, add it again
sample-not-loaded = The sample image could not be loaded ({ $error }). Check your connection and try again, or use your own image.
download-blocked = The browser blocked the download. Check its download settings and try again.

## Labels

label-known = “{ $one }” is already in the list.
labels-known = { $count } of these are already in the list.
default-labels = cat, dog, bird, horse, fish, butterfly, flower, tree, mountain, beach, house, bridge, car, bicycle, airplane, ship, pizza, apple, cup of coffee, shoes
labels = Labels
copy-link-help = A link that opens this page with these labels, prompt templates and model
copy-link = Copy link
clear-all = Clear all
add-a-label = Add a label
add = Add
labels-help = Any words or phrases. Press Enter or comma to add a label, or paste a list.
no-labels = Add at least one label to classify images.
one-label = With one label the probability is always 100 %. Add another to compare.
remove-label = Remove label { $name }
remove = Remove
suggest-labels = Suggest labels
model-without-chinese = This model knows little Chinese: enter English labels, with an English prompt template.

## Prompt templates

template-empty = Enter a prompt with {"{"}label{"}"} where the label goes.
template-lower-case = Write {"{"}label{"}"} in lower case.
template-without-label = {"{"}label{"}"} is missing: put it where the label goes, as in “A sketch of a {"{"}label{"}"}.”
templates-averaged = { $count } templates averaged
prompt-templates = Prompt templates
quoted = “{ $text }”
templates-help-before = CLIP compares an image with text prompts. Each label replaces{" "}
templates-help-after = . The embeddings of several templates are averaged, which often improves accuracy.
add-template = Add a prompt template
template-example = A sketch of a {"{"}label{"}"}.
no-template = No template is selected: each label is used as is.
use-template = Use template { $template }
custom-template = Custom prompt template
remove-template = Remove template { $template }

## Answers

none-fits-said = { $name }: none fits well.
answer-said = { $name }: { $label }, { $percent }.
classified = { $images } classified. { $answers }
results = Results
show-cosine = Show cosine similarity
say-when-none-fits = Say when none fits
download-results-csv = Download results (CSV)
download-results-json = Download results as JSON
remove-all = Remove all
click-a-label = Click a label to see where in the image it fits.
independent-help = {" "}This model gives each label a probability of its own: they do not add up to 100 %.
fits-by-probability = An image fits if the probability of a label reaches this.
fits-by-share = An image fits if the labels get this share of the probability, against some 1,400 everyday words.
least-fit = Least fit
cancelled = Cancelled.
waiting-no-model = Waiting: no model is loaded.
waiting-for-model = Waiting for the model…
queued = Queued…
encoding-image = Encoding the image…
encoded-no-label = Encoded. Add a label to classify it.
cancelled-before = Cancelled before it was classified.
comparing = Comparing with the labels…
pixels = { $width } × { $height } pixels
timing = Preprocessed in { $preprocess }, encoded in { $encode } on { $device }
try-image-again = Try { $name } again
remove-image = Remove { $name }
labels-for = Labels for { $name }, most likely first
show-top = Show the top { $FOLDED }
show-all-labels = Show all { $total }
looking-for = Looking for “{ $label }”…
where-it-fits = Where “{ $label }” fits. Best at { $x } % from the left and { $y } % from the top.
not-located = “{ $label }” could not be located: { $error }.
less = less
more = more
save-png = Save PNG
show-where = Show where in the image
cosine-of-image-and-label = Cosine similarity of image and label
cosine-before = cosine similarity{" "}
probability = probability
none-fits = None of these fits well ({ $fit }); closest: { $closest }.
worker-crashed-on-image = The worker crashed on this image ({ $error }). Other images are not affected.
images-from = Images from { $number }

## Messages

messages = Messages
dismiss-message = Dismiss this message
dismiss = Dismiss
error-in-english = { $error }
heat-map-not-saved = The heat map could not be saved: { $error }.
link-without-model = {" "}Your model is not in it: whoever opens it has to bring it.
link-copied = Link copied. It opens this page with these labels, templates and model; images are not part of it.
copy-this-link = Copy this link: { $address }{ $without_model }
link-not-made = The link could not be made: the browser does not tell the page its address.
no-safetensors = None of these is a .safetensors file. Choose the weights in that format, together with config.json or open_clip_config.json if the model has one.

## Models

bundled-scope = The bundled model covers about 450 everyday things in photos and 1,900 in drawings and emoji, by their English and Chinese names. Published models cover far more:
model-of-the-link = Model of the link
linked-model = The link was made with another model. With this one the answers may differ.
load-linked = Load { $name }
load-linked-bytes = Load { $name }, { $bytes } download
what-bundled-covers = What the bundled model covers
recommended-model = { $name }: { $bytes } download, { $merit }
model = Model
back-to-bundled = Back to the bundled model
source-bundled = bundled: everyday things
source-files = your files
published-facts = { $bytes } · { $parameters } M parameters · { $pixels } px input
imagenet-source = Zero-shot top-1 accuracy on ImageNet, from { $source }
small-download = {" "}small download
best-for-its-size = {" "}best for its size
load-name = Load { $name }
in-use = In use
load = Load
published-models = Published models
special-models = Models for one purpose
other-models = Other CLIP models
model-input = Hugging Face model name, or URL of a .safetensors file or folder
model-input-example = owner/name, or https://…/model.safetensors
choose-model-files = Choose model files
or-drop-model = or drop the files or the folder anywhere.
activation = Activation if there is no config
automatic = Automatic
quick-gelu = QuickGELU (OpenAI)
gelu = GELU (most others)
bytes-so-far = { $bytes } so far
resume-download = Resume download
delete-name = Delete { $name }
delete = Delete
downloaded-models = Downloaded models
downloaded-help = Stored in this browser, so they load offline. Deleting a model frees its space.

## Texts of the engine and the catalogue, which are in English; `foreign` finds them

foreign-cpu-one = CPU (one thread{ $how })
foreign-cpu = CPU ({ $threads } threads{ $how })
foreign-simd = , SIMD
foreign-chosen = chosen by you
foreign-gpu-unusable = the GPU cannot be used: { $reason }
foreign-no-webgpu = this browser does not support WebGPU, or it is disabled
foreign-no-gpu = WebGPU found no GPU
foreign-emulated = the only GPU is emulated in software ({ $name })
foreign-gpu-not-opened = the GPU could not be opened ({ $error })
foreign-purpose-chinese = labels in Chinese
foreign-purpose-clothes = clothes, shoes and accessories
foreign-purpose-species = species of animals, plants and fungi
foreign-purpose-street = where a street photograph was taken
foreign-purpose = for { $purpose }

## Training: several tabs, import

open-elsewhere = Training is open in another tab
open-elsewhere-help = Your images and the current run are in that tab. Close it to continue here, or take over now: the other tab saves everything and stops.
train-here = Train in this tab
waiting-for-other-tab = Waiting for the other tab. If it does not respond, close it.
import-trained = Import a trained classifier or LoRA
import-help = Choose the exported file or zip; for a LoRA, adapter_model.safetensors with adapter_config.json works too. Open full models under “Model” on the Classify tab.
trained-model = Trained model
using-trained = Using your trained model:{" "}
use-original = Use the original model

## Training: images

none-held-out = none held out for testing
training-amount = { $count ->
    [one] 1 image to train on, { $held }
   *[other] { $count } images to train on, { $held }
}
held-out-for-testing = { $held } held out for testing
training-images = Training images
save-as-zip = Save as zip
reading-images = Reading images…
reading-images-left = Reading images: { $count } left
add-class = Add class
drop-class-folders = Drop a folder with one subfolder per class
add-class-images = Add images of two or more classes
captions-help = or images with a table of captions (CSV, TSV, JSONL), or a zip of either. Nothing leaves this device.
create-classes = Create classes
try-sample-data = Try sample data
class-name = Class name
remove-class-name = Remove class { $name }
remove-class = Remove class
add-images = Add images
use-camera-here = Use camera
drop-images-here = Drop images here.
show-more-count = Show { $count } more
role-held-out = held out for testing
role-left-out = left out: { $problem }
role-waiting = not read yet
captioned-images = Captioned images
caption-of = Caption of { $name }
show-more = Show more
and-more = and { $count } more
problems = { $count ->
    [one] 1 problem; everything else is used
   *[other] { $count } problems; everything else is used
}
held-out-share = Held out for testing
held-out-help = Never trained on, only used to evaluate the result. At least one image of each class that has three or more.
not-captured-close = The image could not be captured ({ $error }). Close the camera and open it again.
camera-preview = Camera preview
allow-camera = Allow access to the camera.
hold-to-capture = Hold to capture images
close = Close
tap-to-capture = Tap to capture one image, hold to capture four per second.
captured = { $images } captured.
class-number = Class { $number }
worker-crashed-on-file = the worker crashed on this file
imported = { $what } imported. You can now classify with it.
interrupted-too-early = Training was interrupted before the first checkpoint. Start it again.
stage-pictures = Encoding images:{ $of }
stage-prompts = Encoding class prompts:{ $of }
stage-cross-validating = Cross-validating:{ $of }
stage-fitting = Fitting the classifier
stage-step = Step{ $of }
stage-evaluating = Evaluating on held-out images:{ $of }
of-total = {" "}{ $done } of { $total }
zip-too-large = There are too many files, or they are too large, for one zip (4 GB, 65,535 files). Remove some and try again.

## Training: methods

probe = Linear probe
adapter = Few-shot adapter
lora = LoRA
full = Full fine-tuning
pretrain = Pre-training from scratch
probe-about = A linear classifier on frozen image features. Works best with 16 or more images per class.
adapter-about = Starts from the zero-shot classifier and corrects it. Works even with one image per class.
lora-about = Low-rank updates to the attention layers, saved as a small file. For captions, or for images unlike the training data of the model.
full-about = Trains the whole model or parts of it. For thousands of images; the model may forget what it knew.
pretrain-about = Trains a small model from random weights, to see how it works. A useful model needs millions of images.
takes-seconds = seconds
takes-minutes = minutes
takes-minutes-to-hours = minutes to hours
takes-hours = hours
produces-classifier = a classifier of a few kB
produces-lora = a LoRA of a few MB or less
produces-model = a full model
why-lora-captions = captions train both encoders, and LoRA is less likely to overfit a small data set
why-full = { $train } captioned images are enough to train the whole model
why-adapter = with { $each } in the smallest class, starting from the zero-shot classifier is safest
why-probe = { $each } or more per class are enough for a classifier on frozen features
why-lora = { $each } or more per class are enough to adapt the encoders
no-training-images = Add images first: there is nothing to train on yet.
needs-classes = This method needs classes. For captions, use LoRA, full fine-tuning or pre-training.
needs-second-class = Add images of a second class: training needs at least two.
needs-second-image = Add a second captioned image: training needs at least two.
fault-held-out = Choose a value from 0 to 90 %.
fault-epochs = At least 1.
fault-batch = At least 2: the loss compares the images of a batch.
fault-micro-batch = Between 1 and the batch size.
fault-learning-rate = More than 0 and at most 1, such as 0.001 or 1e-3.
fault-weight-decay = Between 0 and 1.
fault-rank = Between 1 and 256.
fault-alpha = More than 0.
fault-frozen = Train at least one of the encoders.
fault-all-frozen = Train at least one encoder or the temperature.
fault-width = A multiple of 32 from 32 to 512.
fault-layers = Between 1 and 12.
recommended = recommended
method-facts = { $duration } · produces { $output }
needs-classes-short = Needs classes. Captions are not enough.
method = Method
method-recommended = { $method } is recommended: { $why }.
epochs = Epochs
epochs-help = Passes over the training images.
batch-size = Batch size
batch-size-help = Image-text pairs compared with each other in one step. Larger batches give more negatives.
micro-batch = Micro-batch size
micro-batch-help = Pairs processed at once. Smaller values use less memory and give the same result.
learning-rate = Learning rate
learning-rate-help = Peak value. If the loss jumps or grows, try a tenth of it.
weight-decay = Weight decay
weight-decay-help = Pulls weights towards zero to reduce overfitting. Not applied to gains and biases.
warmup = Warm-up steps
warmup-help = The learning rate rises over these steps, then follows a cosine decay.
rank = Rank
rank-help = Rank of the LoRA update, usually 4 to 16.
alpha = Alpha
alpha-help = The update is scaled by alpha / rank.
width = Width
width-help = Width of both transformers. 128 is small; the smallest in the paper is 512.
layers = Layers
layers-help = Blocks in each transformer.
image-encoder = Image encoder
text-encoder = Text encoder
seed = Seed
seed-help = Determines which images are held out and the order of the others. The same seed gives the same result.
advanced-settings = Advanced settings
tuned-automatically = regularisation is tuned automatically
steps = { $steps } steps
lora-mlp = Apply LoRA to the MLPs too
lora-mlp-help = About twice as many parameters: adapts more, but also forgets more.
train-temperature = Train the temperature
train-temperature-help = Divides the similarities before the softmax: lower is sharper.
gradient-checkpointing = Gradient checkpointing
gradient-checkpointing-help = Recomputes activations instead of storing them: less memory, more time.
restore-defaults = Restore defaults
frozen-help = Frozen parts are not trained and need less memory.
train-all = Train all of it
train-output-layers = Train the output layers only
train-last-block = Train the last block
train-last-blocks = Train the last { $blocks } blocks
frozen = Frozen

## Training: run

stopping = Stopping…
paused = Paused
pausing = Pausing after this step…
images-per-second-short = { $speed } images/s
checkpoint-at = checkpoint at step { $step }
training-percent = Training, { $percent } % of this stage
training-finished = Training is finished.
a-second = a second
about-seconds = { $seconds } seconds
about-minutes = { $minutes } minutes
about-hours = { $hours } hours
takes-memory = Takes about { $memory } of memory.
takes-time-and-memory = Takes about { $time } and { $memory } of memory.
a-minute-ago = a minute ago
minutes-ago = { $minutes } minutes ago
hours-ago = { $hours } hours ago
days-ago = { $days } days ago
model-still-loading = The model is still loading.
no-model-see-top = No model is loaded: see the top of the page.
invalid-settings = Some settings are invalid: see “Advanced settings”.
class-without-name = A class has no name yet.
images-being-read = { $count ->
    [one] An image is still being read.
   *[other] { $count } images are still being read.
}
start-training = Start training
training = Training
pause = Pause
finish-help = End training and keep the current result
finish-now = Finish now
cancel-training-help = End training and discard the result
cancel-training = Cancel training
more-than-available = That is more than the { $bytes } available.
more-than-likely = That is more than this device is likely to have.
use-micro-batch = Use a micro-batch size of { $smaller }
run-interrupted = A training run ({ $what }) was interrupted { $when }.
run-interrupted-at = A training run ({ $what }) was interrupted at step { $step } of { $steps }, { $when }.
uses-another-model = It uses the model { $of }: load that model to resume.
resume-training = Resume training
discard = Discard
loss = Loss
loss-help = Contrastive loss of the batch; lower is better
held-out-accuracy = Held-out accuracy
held-out-accuracy-help = Share of the held-out images whose class is ranked first
temperature = Temperature
temperature-help = Similarities are divided by it before the softmax; at least 0.01
learning-rate-about = Step size of the optimiser
step = step
step-number = step { $step }
chart-at = { $title }: { $value } at { $axis } { $x }
chart-empty = { $title }: no data yet

## Training: result

not-evaluated = No images were held out, so the result was not evaluated.
held-out-images = { $count ->
    [one] 1 held-out image
   *[other] { $count } held-out images
}
accuracy-before-after = Accuracy on { $of }: { $before } before training, { $after } after.
accuracy-after = Accuracy on { $of }: { $after }.
result = Result
trained-on = { $method } of { $model }
classes = { $count ->
    [one] 1 class
   *[other] { $count } classes
}
trained-for = { $method } for { $classes } on { $model }
classify-with-trained = Classify with the trained model
export = Export
export-colon = Export:
report-json = Report (JSON)
exporting = Exporting…
share-of-trained = Share of the trained weights:{" "}
wise-ft-help = Mixing with the original weights (WiSE-FT) often keeps what the model knew before. It applies to classifying and to exports.
accuracy-by-share = Held-out accuracy by share
accuracy-by-share-help = Accuracy on the held-out images by share of the trained weights, in percent
share-axis = a share in percent of
share = Share
accuracy = Accuracy
export-head = Classifier (safetensors)
export-lora = LoRA (PEFT)
export-transformers = Model (transformers)
export-open-clip = Model (OpenCLIP)
before = Before
after = After
points = { $points } points
speed = {" "}· { $speed } images/s
tested-on = , tested on { $held_out }
trained-facts = Trained on { $images }{ $tested } · { $seconds }{ $speed } · { $device }
accuracy-by-class = Accuracy by class
class = Class
images-column = Images
confusion-cell = { $images }: actual { $truth }, predicted { $answer }
confusion-matrix = Confusion matrix
actual-predicted = actual ↓ predicted →
correct = { $name } (correct)
predicted-as = { $truth } predicted as { $answer }
click-a-number = Click a number to see its images.
worst-mistakes = Most confident mistakes
show-all = Show all
actual = actual: { $truth }

## Training: data

add-images-elsewhere = Training is open in another tab: add images there, or choose “Train in this tab” first.
samples-not-loaded = The sample images could not be loaded ({ $error }). Check your connection and try again, or use your own images.
and-unread-files = { $first }. { $count ->
    [one] 1 more file could not be read either.
   *[other] { $count } more files could not be read either.
}
note = Note: { $note }.

## Library: folder and index

choose-another-folder = Choose another folder
search-your-images = Search your own images
library-help = Choose a folder, or drop one here. Find images by words or by other images, find duplicates, sort by label. Nothing leaves this device.
reading-folder = Reading the folder: { $count } images
kept-indexes = Indexes stored in this browser
kept-indexes-help = Only new and changed images are read.
kept-indexes-choose = Choose the folder again: only new and changed images are read.
open-name = Open { $name }
open = Open
forget = Forget
index-facts = { $count } images · { $model } · { $bytes }
delete-index = Delete the index of { $folder } for { $model }
index-opening = { $name }: opening
index-complete = { $name }: { $count } images
indexing-of = { $name }: indexing, { $done } of { $total }{ $left }
indexing = Indexing
continue = Continue
look-for-changes = Look for new and changed images
unread-files = { $files } could not be read: moved or deleted meanwhile?
path-why = { $path }: { $why }
files-left-out = { $count ->
    [one] 1 file was left out
   *[other] { $count } files were left out
}
other-files = { $count ->
    [one] 1 other file is no image.
   *[other] { $count } other files are no images.
}
index-left = , { $left }
tasks = What to do with the images
search = Search
duplicates = Duplicates
sort = Sort

## Library: search and filters

search-for = Search for
search-example = a dog on the beach
search-by-image = Search by image
search-help = Combine terms with + and −, with spaces around them: “dog + beach − people”. An image from elsewhere can be pasted or dropped here.
query-images = Images of the query
like = like { $name }
not-like = not like { $name }
remove-from-query = Remove { $name } from the query
best-first = best first
newest-first = newest first
shown-of = { $shown } of { $all } images, { $order }
no-images = No images
found-images = { $shown } images, { $order }
minimum-similarity = Minimum similarity{" "}
cosine-similarity = Cosine similarity
more-like-this = More like this
less-like-this = Less
filters = Which images to look at
filter-folder = Folder{" "}
all-folders = all
filter-from = From{" "}
filter-to = to{" "}
filter-label = Label{" "}
any-label = any
filter-clear = Show all

## Library: duplicates

and-more-images = and { $more } more
similar-before = Minimum cosine similarity of similar images:{" "}
similar-after = {" "}cosine similarity
find-duplicates = Find duplicates
identical-files = Identical files
oldest = oldest
near-identical = The same image, resized or recompressed
best-copy = best copy
similar-images = Similar images
largest = largest

## Library: sorting

labels-to-sort-by = Labels to sort by
sort-now = Sort
sort-help = Labels, separated by commas. Each image goes to its most probable one.
without-labels = Without labels:
group-by-similarity = Group by similarity
into-groups-before = into{" "}
group-count-auto = auto
into-groups-after = {" "}groups
copying-of = Copying { $number } of { $all }
copy-into-folder = Copy into a folder
download-folders = Download folders (zip)
download-list = Download list (CSV)
train-on-groups = Train on these groups
name-of-group = Name of the group { $title }
label-of = Label of { $path }

## Library: messages

no-images-in-folder = There are no images in this folder. Choose a folder with JPEG, PNG, WebP, GIF, BMP, AVIF, HEIC or TIFF files.
folder-unread = { $unread } could not be read: it has been moved or deleted. Choose it again.
folder-not-allowed = The browser may not read { $name }. Choose “Open” again and allow it.
choose-folder-first = Choose a folder first. Then paste or drop an image to find others like it.
disk-full = the disk is full
may-not-write = the browser may not write there
copied-until = { $copied } of { $all } images were copied into { $folder }, then { $why }.
copied-except = { $copied } of { $all } images were copied into { $folder }. { $failed } could not be copied: { $first }{ $others }.
and-others = {" "}and others
copied-all = { $copied } images were copied into { $folder }.
not-in-zip = { $path } could not be read: it has been moved or changed. It is not in the zip.
folder-not-opened = The browser did not open the folder ({ $error }).

## Camera and video

none-fits-live = None of these fits well
live-not-classified = The video could not be classified ({ $error }). Stop it and start again.
live-no-label = Add a label to classify the video.
images-per-second = { $rate } images per second
camera-gone = The camera is gone. Connect it, then stop this and start again.
camera-off = The camera was switched off, since the page was out of sight.
probability-of = probability of { $name }
video = Video
video-not-playable = This video cannot be played: it is damaged, or of a format that this browser does not know. Try an MP4 (H.264) or WebM file.
camera = Camera
label-probabilities = Probabilities of the labels
stop = Stop
image-kept = Image added to the results.
keep-image = Keep this image
image-added = Image added to the class { $class }.
add-to-class = Add to class
class-to-add-to = Class to add the image to
without-name = without a name
no-camera-here = This browser offers no camera here. It requires https or localhost.
camera-denied = Camera access was denied. Allow it in the browser's settings for this page, then close this and try again.
no-camera = No camera was found. Connect one and try again.
camera-in-use = The camera is in use by another program. Close it and try again.
camera-not-opened = The camera could not be opened ({ $error }).
no-frame-yet = there is no image yet
not-captured = The image could not be captured ({ $error }).
