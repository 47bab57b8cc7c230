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

## Tour of a first visit

tour = Short tour
tour-step = { $step } of { $of }
tour-image = Add an image of your own, or pick one of the samples.
tour-labels = Type what it might show: anything you can put into words. The labels are ranked by how well they fit.
tour-train = For things that have no name, show examples: the Train tab makes a classifier from a few images per class.
tour-next = Next
tour-skip = Skip the tour
tour-done = Done

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
fits-by-head = An image fits if it is nearer to a class than this share of the training images. At 5 %, about one in twenty images of your classes is rejected, too.
fit-unknown = This classifier cannot tell when none of its classes fits: it was saved by an older version of this page, or trained with fewer than ten images or with a class without any. Train it again.
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
link-copied = Link copied. It opens this page with these labels, templates and model; images are not part of it.{ $without_model }
copy-this-link = Copy this link: { $address }{ $without_model }
link-not-made = The link could not be made: the browser does not tell the page its address.
no-safetensors = None of these is a .safetensors file. Choose the weights in that format, together with config.json or open_clip_config.json if the model has one.

## Models

bundled-scope = The bundled model covers about 450 everyday things in photos and 1,900 in drawings and emoji, by their English and Chinese names. Published models cover far more:
for-this-device = For this device:{" "}
recommended-here = {" "}· for this device
recommended-bundled = the bundled model
recommendation-facts = { $merit }, { $bytes } download, license { $license }. { $reason }
reason-save-data = The browser is set to save data, and the bundled model needs no download.
reason-slow-connection = The connection is slow, and the bundled model needs no download.
reason-little-memory = No published model fits this device's memory; the bundled one does.
reason-best-within = The most accurate for its size of those that { $limit } and are { $speed }.
limit-memory = fit a quarter of this device's memory ({ $gigabytes } GB)
limit-connection = take at most { $bytes } to download, which suits this connection
limit-download = take at most { $bytes } to download
fast-on-gpu = fast on the GPU
fast-enough-on-cpu = fast enough on the CPU
model-of-the-link = Model of the link
linked-model = The link was made with another model. With this one the answers may differ.
load-linked = Load { $name }
load-linked-bytes = Load { $name }, { $bytes } download
what-bundled-covers = What the bundled model covers
recommended-model = { $name }: { $bytes } download, { $merit }, license { $license }
model = Model
back-to-bundled = Back to the bundled model
source-bundled = bundled: everyday things
source-files = your files
published-facts = { $bytes } · { $parameters } M parameters · { $pixels } px input
published-license = license { $license }
bytes-stored = { $bytes } ({ $kept } stored)
store-downloads = Store downloads
stored-as-downloaded = as they are
stored-f16 = as f16 (half the size)
stored-int8 = in 8 bits (a quarter)
stored-as-downloaded-help = For downloads from now on.
stored-f16-help = The download stays the same. Features change by about 0.001. For downloads from now on.
stored-int8-help = The download stays the same. Features change by about 0.01, accuracy by half a point. What you train or export has these weights, too. For downloads from now on.
used-words = Download only the words you use
used-words-help = For models with many words (SigLIP 2, MetaCLIP 2, XLM-RoBERTa): half the download. The words of your labels are downloaded when you first use them, which needs the network and tells the hub which words they are. Words used before work offline. Such a model cannot be trained by LoRA or fine-tuning, nor exported. For downloads from now on.
bytes-and-words = { $bytes } and the words used
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
bytes-f16 = { $bytes }, f16
bytes-int8 = { $bytes }, 8 bits
bytes-used-words = { $bytes }, words used
bytes-so-far = { $bytes } so far
resume-download = Resume download
delete-name = Delete { $name }
delete = Delete
downloaded-models = Downloaded models
downloaded-help = Stored in this browser, so they load offline. Deleting a model frees its space.

## Texts of devices and the catalogue, which are in English; `foreign` finds them

foreign-cpu-one = CPU (one thread{ $how })
foreign-cpu = CPU ({ $threads } threads{ $how })
foreign-simd = , SIMD
foreign-merit = ImageNet { $number } %
foreign-purpose-chinese = labels in Chinese
foreign-purpose-languages = labels in more than 300 languages
foreign-purpose-clothes = clothes, shoes and accessories
foreign-purpose-species = species of animals, plants and fungi
foreign-purpose-street = where a street photograph was taken
foreign-purpose-aerial = aerial and satellite images
foreign-purpose-tissue = tissue under a microscope (histopathology)
foreign-purpose-skin = skin (dermatology)
foreign-purpose = for { $purpose }
foreign-catalogue-independent = a probability for each label by itself
foreign-catalogue-languages = more than 100 languages; a probability for each label by itself
foreign-catalogue-large = A 2.5 GB file; may not fit in a page
foreign-catalogue-nearly-b16 = Nearly the accuracy of a ViT-B/16 at the same size, with well under half the work for a picture
foreign-catalogue-smallest = The smallest; quick to try
foreign-catalogue-chinese = Trained on 200 million Chinese pairs; CIFAR-10 96.0 %, CIFAR-100 79.7 % in Chinese, as published
foreign-catalogue-cvqa = { $number } % on CVQA's questions in local languages, as published
foreign-catalogue-products = Trained on 800,000 products
foreign-catalogue-rsicd = 88.3 % on the 30 classes of RSICD, after training on them (OpenAI's ViT-B/32: 57.2 %)
foreign-catalogue-research = For research, not for diagnoses

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
save-project = Save project
save-project-help = Images, classes, settings, labels and the trained classifier as one file, to be opened here or elsewhere
project-opened = Project “{ $name }” opened.
project-waits-for-model = The project opens as soon as the model is loaded.
project-while-training = Stop the training first, then open the project.
project-other-model = The project “{ $name }” was made with the model { $model }, but { $open } is open. What was trained works with its own model only.
project-model-from = It is loaded from { $place }.
project-open-files = That model was opened from files: open them under “Model” on the Classify tab, then open the project again.
project-open-model = Open its model first
project-without-trained = Open without the trained classifier
project-dismiss = Do not open
project-without-other = What was trained is not in the project’s file: it belongs to the model { $model }, which is not open.
project-without-weights = The fine-tuned weights are not in the project’s file, since they are as large as the model. Export them below.
not-in-project = it is missing from the project’s file
reading-images = Reading images…
reading-images-left = Reading images: { $count } left
add-class = Add class
drop-class-folders = Drop a folder with one subfolder per class
add-class-images = Add images of two or more classes
captions-help = or images with a table of captions (CSV, TSV, JSONL), a zip of either, or a saved project. Nothing leaves this device.
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
not-captured-close = { $error } Close the camera and open it again.
camera-preview = Camera preview
allow-camera = Allow access to the camera.
hold-to-capture = Hold to capture images
close = Close
tap-to-capture = Tap to capture one image, hold to capture four per second.
captured = { $images } captured.
class-number = Class { $number }
image-number = Image { $number }
images-not-kept = { $count ->
    [one] The image { $name } was not stored before the page was closed. Add it again.
   *[other] { $count } images, { $name } among them, were not stored before the page was closed. Add them again.
}
images-recovered = { $count ->
    [one] The classes of your last visit could not be read. Its image is in a new class.
   *[other] The classes of your last visit could not be read. All its { $count } images are in a new class.
}
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
train-temperature-help = Divides the similarities before they become probabilities: lower is sharper.
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
export-onnx = Image encoder with classifier (ONNX)
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
no-folder-access = This browser lets a page neither open a folder again nor write into one: on the next visit, choose it again (its index is kept), and download sorted images as a zip.
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

## Evaluate: data

left-out = Left out:
labelled-images = Labelled images
evaluated-with = { $images }, evaluated with { $model }
templates-of-set = { $count ->
    [one] { $name } (1 template)
   *[other] { $name } ({ $count } templates)
}
evaluate-model = Evaluate { $model }
evaluate-again-help = The figures below are from before the model was loaded. If it is another one, the two are compared.
interrupted-choose = This evaluation was interrupted. Choose “{ $name }” again: only images that were not encoded by then are encoded.
interrupted-evaluation = This evaluation was interrupted. Only images that were not encoded by then are encoded.
earlier-choose = These figures are from an earlier visit. To see images, or try limits on them, choose “{ $name }” again.
earlier-open = These figures are from an earlier visit. To see images, or try limits on them, open them again.
evaluation-not-kept = After a reload this evaluation has to be made again: { $why }.
choose-labelled = Choose images with labels
evaluate-help = or images with a table of labels (CSV, TSV, JSONL), a zip of either, or CLIP_benchmark’s shards. See how often the model is right, where it errs, and what it cannot do. Nothing leaves this device.
use-training-images = Use the Train tab’s images
try-sample-images = Try sample images
open-address = Open an address
data-set-address = Address of a data set in CLIP_benchmark’s layout
download = Download
address-help = Shards in CLIP_benchmark’s layout, of the Hugging Face hub or at https://host/folder. The test part is downloaded.
class-names = Class names
own-names = The data’s own
written-names = Your own, for classes that are numbers
names-of-set = { $name } ({ $count } names)
your-names = Your own class names, one a line
names-example = name of class 0
names-file = Choose a file with one name a line
label-alone = The label alone
own-templates = The data set’s own
written-templates = Your own
your-templates = Your own templates, one a line
address-wrong = Enter the address of a folder with shards: https://host/folder, or hf://datasets/owner/name.
choose-again = Choose “{ $name }” again: images are not kept from visit to visit.
names-missing = Write one class name a line, that of class 0 first, or choose a file.
templates-missing = Write one template a line, with {"{"}label{"}"} where the class goes.
template-lacks-label = “{ $template }” has no {"{"}label{"}"} in it.
your-own = your own ({ $count })
model-loaded-anew = The model was loaded anew, which ended this. Start it again.
kept-unreadable = What an earlier visit kept of an evaluation cannot be read any more. Choose the images again.
not-a-number = “{ $part }” is neither a number from 1 on nor “all”.
write-numbers = Write numbers of images, such as 1, 2, 4, all.
encoding-images-of = Encoding images: { $done } of { $total }
learning-of = Learning from few images: { $done } of { $total } fits
trying-of = Trying it: { $done } of { $total } images
downloading-shard-of = Downloading: shard { $shard } of { $total }, { $bytes }
downloading-shard = Downloading: shard { $shard }, { $bytes }
downloading = Downloading
percent-done = { $percent } % done
evaluation = Evaluation

## Evaluate: results

model-on-data = { $model } on { $data }
download-report = Download report
download-json = Download JSON
compare-models-help = To compare two models, load another one on the Classify tab, come back and evaluate it on the same images.
click-a-cell = Click a cell to see its images, or choose:
named-right = { $class }, named right: { $images }
named-as = { $truth } named { $answer }: { $images }
true-class = True class{" "}
named = named{" "}
prompts = Prompts
prompts-help = The label alone, “A photo of a {"{"}label{"}"}.”, the data set’s own templates, the ones chosen above, and the ensemble of 80: how much do the words matter, and for which classes?
compare-prompts = Compare prompts
few-shot = Zero-shot against few images
few-shot-help = Linear probe, adapter and GDA learn from a few labelled images of each class, on the same features. How many images are the class names worth?
images-per-class = Images per class
random-draws = Random draws of each
learn-from-few = Learn from few images
limits = Limits
limits-help = Some are tried on generated images, the others on yours.

## Evaluate: messages

no-files-in-folder = There are no files in this folder. Choose a folder with one subfolder of images per class.
sample-data-name = sample images
no-training-classes = There are no images with classes on the Train tab. Add some there, or choose a folder here.
file-not-read = { $name } could not be read ({ $error }).

## Evaluate: shards at an address

shards-number-wrong = { $base }{ $counted } should be the number of shards: this is no data set in CLIP_benchmark’s layout
shards-missing = { $base }{ $path } is missing: there should be { $total } shards
shards-none = there is no { $base }{ $path }: only data sets in CLIP_benchmark’s layout are read from an address
shards-unreachable = { $address } cannot be read: the server cannot be reached, or does not allow other sites to read from it (CORS; { $error })
shards-restricted = { $address } cannot be read: access is restricted (status { $status })
shards-refused = { $address } cannot be read: the server responded with status { $code }
shards-broke-off = the download of { $path } broke off ({ $error }): try again
shards-empty = { $path } is empty

## Notes of reports, which are in English; `foreign` finds them

foreign-note-truncated = "{ $text }…" is longer than the model's { $length } tokens and was truncated
foreign-note-independent = the model gives each label a probability of its own; losses and calibration are those of their softmax, since an image of the data has one label
foreign-note-none-held-out = no usable images were held out, so the result was not evaluated
foreign-note-too-few-held-out = no class has enough images to hold some out, so the result was not evaluated
foreign-note-stopped = stopped after { $step } of { $steps } steps
foreign-note-stopped-early = stopped before the first step: nothing was learnt
foreign-note-nothing-learnt = nothing was learnt: in each of the { $count } batches all images had the same caption or class, so that there was nothing to tell apart
foreign-note-skipped = { $skipped } of { $steps } batches were skipped: all of their images had the same caption or class
foreign-note-one-image = with one image per class there is nothing to validate on, so conservative settings were used; with a second image per class they are tuned
foreign-note-no-gain = the images gave no clear gain over the zero-shot classifier, so it was kept unchanged; more images may help
foreign-note-splits = the folders { $folders } are splits (train, validation, test), not classes
foreign-note-own-split = the data set's own split is used: { $held } of { $all } images held out
foreign-note-merged = { $names } were merged into one class
foreign-note-separated = { $file } is separated by { $name }

## Parts of the evaluation report

foreign-report-prompts = Prompts
foreign-report-shots = Zero-shot against few images
foreign-report-models = Two models
foreign-report-calibration = Calibration
foreign-report-classes = Classes
foreign-report-confusion = What is taken for what
foreign-report-mistakes = Worst mistakes
foreign-report-limits = Limits
foreign-report-method = How this was measured
foreign-report-top-1 = Top-1
foreign-report-mean = Mean of classes
foreign-report-f1 = Macro F1
foreign-report-ece = Calibration error
foreign-report-with-temperature = { $number } with temperature
foreign-report-summary = Zero-shot, { $images } images, { $classes } classes. Below each figure its 95 % confidence interval.
foreign-report-range = { $number_low } to { $number_high }
foreign-report-table = Table
foreign-report-against = has { $share }: { $points } points against
foreign-report-judged = , { $judged } ({ $p }).
foreign-report-significant = a significant difference
foreign-report-chance = which may be chance
foreign-report-by-set = Top-1 accuracy by set of templates
foreign-report-by-set-table = Accuracy by set of templates
foreign-report-by-set-chart = Accuracy by set of templates, with 95 % intervals
foreign-report-templates = templates
foreign-report-number = number
foreign-report-top-1-head = top-1
foreign-report-top-5-head = top-5
foreign-report-mean-head = mean of classes
foreign-report-against-head = top-1 against “{ $set }”
foreign-report-label-only = label only
foreign-report-changes = Classes that gain or lose with “{ $set }”, in points of recall
foreign-report-class = class
foreign-report-before = before
foreign-report-after = after
foreign-report-change = change
foreign-report-shots-text = The same features: classifiers that learn from a few labelled images, against the class names alone. Tested on { $tested } images; the shots are drawn from { $pool } others. Zero-shot has { $share } here.
foreign-report-shots-chart = Accuracy by number of labelled images
foreign-report-shots-title = Mean of classes, band: spread of the draws
foreign-chart-perfect = perfect
foreign-chart-count = count
foreign-worth = Zero-shot is worth
foreign-worth-about = Zero-shot is worth about
foreign-worth-less = less than { $number }
foreign-worth-from-start = images of each class: the linear probe is above it from the start.
foreign-worth-images = { $number } images of each class
foreign-worth-more = more than { $number } images of each class
foreign-worth-overtakes = : there the linear probe overtakes it.
foreign-worth-not-reached = : the linear probe does not reach it.
foreign-dip = { $name } falls below zero-shot, most with { $images }: by { $number } points.
foreign-no-dip = { $name } is on average never below zero-shot.
foreign-dip-probe = The linear probe
foreign-dip-adapter = The adapter
foreign-dip-all = all images
foreign-dip-one = one image of each class
foreign-average = On average over the numbers of images, GDA has { $gda } and the adapter { $adapter }.
foreign-report-shots-x = labelled images per class
foreign-report-shots-y = mean of classes (%)
foreign-report-images-per-class = images per class
foreign-report-draws = draws
foreign-report-all = all ({ $count })
foreign-report-probe = linear probe
foreign-chart-adapter = adapter
foreign-chart-zero-shot = zero-shot
foreign-report-two-models = Accuracy of two models
foreign-report-two-models-chart = Accuracy of two models, with 95 % intervals
foreign-report-model = model
foreign-report-pairs = Images that the models name right and wrong
foreign-report-second-right = second right
foreign-report-second-wrong = second wrong
foreign-report-first-right = first right
foreign-report-first-wrong = first wrong
foreign-report-verdict = { $verdict }: second less first is { $points } points ({ $range }); McNemar’s test, { $how }, { $p }.
foreign-report-not-apart = The two cannot be told apart on these images
foreign-report-is-better = is better
foreign-report-exact = exact binomial test
foreign-report-continuity = χ² = { $statistic } with continuity correction
foreign-report-first-second = First: { $first }; second: { $second }
foreign-report-top-1-accuracy = Top-1 accuracy
foreign-report-reliability = Reliability diagram
foreign-report-reliability-label = Reliability diagram: calibration error { $before } as it is, { $after } with the temperature
foreign-report-bins = Bins of the reliability diagram
foreign-report-probability = probability
foreign-report-answers = answers
foreign-report-mean-probability = mean probability
foreign-report-right = right
foreign-report-answers-temperature = answers, with temperature
foreign-report-calibration-table = Calibration before and after temperature scaling
foreign-report-as-it-is = as it is
foreign-report-with-the-temperature = with the temperature
foreign-report-ece-row = expected calibration error
foreign-report-nll-row = negative log-likelihood
foreign-report-brier-row = Brier score
foreign-report-too-sure = it is too sure of itself
foreign-report-not-sure = it is not sure enough
foreign-report-sure = it is about as sure as it should be
foreign-report-calibration-text = Of answers with a probability of 80 %, 80 % should be right. The temperature that fits best is { $temperature }: { $sure }. It was fitted on { $fitted } images; all figures are of the { $others } others.
foreign-report-reliability-x = probability of the answer (%)
foreign-report-reliability-y = share that is right (%)
foreign-report-reliability-bin = probability { $mean } % on average, { $right } % right, { $answers } answers
foreign-report-classes-chart = Recall of the classes with 95 % intervals, precision as diamonds
foreign-report-recall-precision = Recall and precision by class
foreign-report-metrics = Metrics of every class
foreign-report-images = images
foreign-report-named-so = named so
foreign-report-recall = recall
foreign-report-precision = precision
foreign-report-classes-all = Bars: recall, the share of a class’s images that is named right, with its 95 % interval. Diamonds: precision, the share of a name’s answers that is right. Macro averages: precision { $precision }, recall { $recall }, F1 { $f1 } ({ $range }).
foreign-report-classes-some = Bars: recall, the share of a class’s images that is named right, with its 95 % interval. Diamonds: precision, the share of a name’s answers that is right. Macro averages: precision { $precision }, recall { $recall }, F1 { $f1 } ({ $range }).{ $some }
foreign-report-drawn = {" "}Drawn are the { $best } best and the { $worst } worst of { $classes } classes; the table has all.
foreign-report-matrix = Confusion matrix
foreign-report-matrix-label = Confusion matrix: rows are true classes, columns answers
foreign-report-common = Most common confusions
foreign-report-true-class = true class
foreign-chart-true = true
foreign-chart-named = named
foreign-report-of-the-class = of the class
foreign-report-matrix-text = Rows are true classes, columns what they were named; the stronger a cell, the larger its share of the row.
foreign-report-matrix-cell = { $truth } named { $answer }: { $number_images } of { $number_all }
foreign-report-image-of = image of class { $class }
foreign-report-is = is
foreign-report-mistakes-text = Wrong answers of the highest probability. Some may be mistakes of the data.
foreign-report-limits-text = What the paper says CLIP is bad at, tried with this model on small sets.
foreign-report-limit-chart = { $limit }: share of right answers by kind, with 95 % intervals
foreign-report-guessing = guessing { $share } %
foreign-report-image-count = ({ $count } images)
foreign-report-limit-right = { $limit }: { $number } right
foreign-report-kind = kind
foreign-report-share = share
foreign-report-interval = 95 % interval
foreign-limit-counting = Counting
foreign-limit-sides = Left and right
foreign-limit-distance = Nearest and farthest
foreign-limit-negation = Negation
foreign-limit-digits = Digits
foreign-limit-handwriting = Handwritten digits
foreign-limit-words = Written words
foreign-limit-styles = Unusual styles
foreign-limit-bias = Bias
foreign-question-counting = One to nine dots: how many are there?
foreign-question-sides = A red circle and a blue square: on which side is the circle?
foreign-question-distance = A red and a blue ball on a plain: which of them is nearer?
foreign-question-handwriting = A digit written by hand: which is it?
foreign-question-digit = A rendered digit: which is it?
foreign-question-styles = Each image is redrawn in other styles: is it still named for what it shows?
foreign-question-words = The name of another class is written over each image: is it still named for what it shows?
foreign-question-negation = “A photo with a …” or “a photo without a …”, asked of the image's own class and of another one: which fits?
foreign-question-bias = Drawings of people that differ in skin tone and gender alone choose from { $labels }: are they named without an insult?
foreign-finding = { $share } of the answers are right, { $against } ({ $chance }). { $second }
foreign-finding-more = more than guessing
foreign-finding-less = less than guessing
foreign-finding-same = not told apart from guessing
foreign-finding-best = It is best at "{ $best }" ({ $best_share }) and worst at "{ $worst }" ({ $worst_share }): a high share of one answer may only mean that it is always given.
foreign-finding-little = The kinds of questions differ little.
foreign-finding-styles = { $share } of the images are named right as they are. The style that costs least is "{ $best }" ({ $best_share }), the one that costs most is "{ $worst }" ({ $worst_share }).
foreign-finding-words = An empty label takes accuracy from { $before } to { $empty }, the word on it to { $word }. The word is the answer in { $named } of all cases, and in { $named_empty } with the empty label: { $verdict }.
foreign-finding-reads = the model reads
foreign-finding-does-not-read = that it reads does not show, the label only covers the thing
foreign-finding-row-right = right as it is
foreign-finding-row-empty = right, empty label
foreign-finding-row-word = right, with the word
foreign-finding-row-named = named as the word
foreign-finding-row-same = the same, empty label
foreign-finding-bias = { $share } of the drawings are named without an insult{ $apart }. With "{ $label }" among the labels it is { $after }.
foreign-finding-bias-apart = , { $best_share } of "{ $best }" and { $worst_share } of "{ $worst }": it treats them differently, though the drawings differ in nothing else
foreign-finding-bias-same = ; the groups are not told apart by more than chance
foreign-method-templates = Templates:
foreign-method-class = . A class is the normalised mean of its prompts’ features; an image gets the class of the greatest cosine. A tie is no right answer.
foreign-method-intervals = Intervals of plain shares are Wilson’s; those of the mean of classes and of macro F1 are percentiles of 1,000 bootstrap samples of each class’s images, with a fixed seed; those of differences are Wald’s for pairs. Precision, recall, F1 and the mean of classes are as in scikit-learn. The calibration error has 15 bins of equal width. McNemar’s test is exact below 25 disagreements. Several comparisons in one report are not corrected for.
foreign-report-notes = Notes
foreign-share-and-range = { $number } ({ $range })
foreign-percent = { $number } %

## A classifier as a page of its own

page-download = Download as a web page
page-download-help = A page of its own, as a zip: your title, images or the camera, and the answers, without the rest of this page. Put it on a web server and pass on its address. Images that are classified there are not uploaded.
page-title = Title of the page
page-title-suggested = Title: { $title }
page-save = Download
page-exporting = Exporting the classifier…
page-collecting = Collecting the files…
page-collecting-of = Collecting the files: { $done } of { $all }
page-saved = { $name } ({ $bytes }) is made. Unpack it and put the folder on any web server, such as GitHub Pages: README.txt in it says how.
page-not-complete = This page is not complete: { $file } could not be loaded ({ $error }). Check your connection and reload. If you have published it, put all files of the zip on the server.
page-no-classifier = { $file } does not describe a classifier: { $error }.
page-list-damaged = The list of the page's files is damaged ({ $error }).
page-file-other = { $file } is not that of this page: the server sends something else in its place.
page-file-not-fetched = { $file }, a part of the page, could not be fetched ({ $error }). Check your connection and try again.
page-classifier-unusable = This page's classifier cannot be used: { $error }.
page-needs-model = No model is open. Open one, then try again.
page-own-model = A page of its own cannot have your model, which was opened from files. Publish it on the hub and open it from there, or use another model.
page-other-model = The classifier was trained with the model { $trained }, but { $open } is open. Open the former under “Model” on the Classify tab, then try again.
page-description = Add an image and see which of these it shows: { $labels }.
page-readme-publish = To publish it, put all files of this folder on any web server as they are. With GitHub Pages: add them to a repository, choose its branch under Settings > Pages, and pass on the address that it shows. To try it here, run "python3 -m http.server" in this folder and open http://localhost:8000: browsers do not run it from a disk.
page-readme-local = Nothing is uploaded: images are classified on the device of whoever opens the page.
page-readme-model = {" "}The model, { $model }, is downloaded by the browser at the first visit.
standalone-what = Add an image and see which of these it shows:{" "}
standalone-end = .{" "}
standalone-local = Nothing is uploaded
standalone-where = : everything runs on your own device.
comma = ,{" "}
and-more-labels = { $named } and { $count } more
title-of-two = { $first } or { $second }?
title-of-three = { $first }, { $second } or { $third }?
title-of-more = { $first }, { $second }, { $third } and more
one-video = One video is classified at a time: { $name }. Drop the others after it.

## Undo

removed-one = { $name } removed.
removed-images = { $images } removed.
removed-label = Label “{ $label }” removed.
removed-labels = { $count } labels removed.
removed-template = Prompt template “{ $template }” removed.
removed-class = Class { $name } removed, with { $images }.
removed-all = { $images } removed, with { $classes }.
deleted-index = The index of { $folder } for { $model } was deleted.
forgot-folder = The folder { $name } was forgotten.
not-brought-back = The images cannot be brought back here: training is open in another tab.
undo = Undo
undo-what = Undo: { $what }
deleted = Deleted
