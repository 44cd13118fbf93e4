from serving.client import RemoteModel as RemoteModel
from serving.head_options import HeadOptions as HeadOptions
from serving.heads import Head as Head
from serving.heads import HeadMaker as HeadMaker
from serving.images import read_photo as read_photo
from serving.reconstructor import Reconstruction as Reconstruction
from serving.reconstructor import Reconstructor as Reconstructor
